"""Weight files that store a model in fewer bits than the plain numbers it is read as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

WeightReading = Literal["plain", "unpacked", "kernel"]
"""How weights are read: as they are stored, turned into plain numbers, or computed with in their own format."""


@dataclass(frozen=True)
class PackedSource:
    """A GGUF file, or the files of a quantized checkpoint.

    Attributes:
        format: Its format, such as ``GGUF`` or ``fp8, 8 bits``.
        bytes: Size of its files.
        dense_bytes: Size of its weights as plain numbers in float32.
        reading: How its weights are read; ``None`` in runs of earlier versions.
    """

    format: str
    bytes: int
    dense_bytes: int
    reading: WeightReading | None = None


def recorded_sources(study: Mapping[str, Any]) -> Iterator[tuple[str, PackedSource]]:
    """Yield the models of a run that are packed, as recorded in its ``study.json``; damaged records are left out."""
    for model, said in (study.get("sources") or {}).items():
        if isinstance(said, dict):
            stored, dense = said.get("bytes"), said.get("dense_bytes")
            if isinstance(stored, int) and isinstance(dense, int):
                reading = next((each for each in get_args(WeightReading) if each == said.get("reading")), None)
                yield model, PackedSource(str(said.get("format")), stored, dense, reading)
