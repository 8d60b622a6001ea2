"""Weight files that store a model in fewer bits than the floating-point numbers it is read as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from forgetmeter.basics.plural import megabytes

WeightReading = Literal["plain", "unpacked", "kernel"]
"""How weights are read: as they are stored, turned into floating-point numbers, or computed with as stored."""


@dataclass(frozen=True)
class PackedSource:
    """A GGUF file, or the files of a quantized checkpoint.

    Attributes:
        format: Its format, such as ``GGUF, Q4_K_M`` or ``gptq, 4 bits, groups of 128``.
        bytes: Size of its files.
        dense_bytes: Size of its weights as floating-point numbers in float32.
        reading: How its weights are read; ``None`` in runs of earlier versions.
        maker: The program or person that made it, if its files say so.
        bits: Bits per weight by role (``attention``, ``feed_forward`` ...), with scales and zero points; empty in runs
            of earlier versions.
    """

    format: str
    bytes: int
    dense_bytes: int
    reading: WeightReading | None = None
    maker: str = ""
    bits: Mapping[str, float] = field(default_factory=dict)

    def sizes(self, model: str) -> str:
        """Return a sentence giving the model's size as stored and in float32."""
        (stored,), (dense,) = megabytes([self.bytes]), megabytes([self.dense_bytes])
        made = f", made by {self.maker}" if self.maker else ""
        return f"{model} takes {stored} MB as stored ({self.format}{made}), and {dense} MB as float32."
