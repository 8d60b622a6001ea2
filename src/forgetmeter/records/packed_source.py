"""Weight files that store a model in fewer bits than the plain numbers it is read as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
