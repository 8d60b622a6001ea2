"""Names of a variant's sizes, in display order, and remarks on a packed source."""

from __future__ import annotations

from forgetmeter.records.packed_source import PackedSource
from forgetmeter.results.frontier import Measure

SIZES: dict[Measure, str] = {
    "dense_bytes": "dense",
    "bitmask_bytes": "bitmask",
    "quantized_bytes": "quantized",
    "smallest_bytes": "smallest",
}


def packed_remark(model: str, source: PackedSource) -> str:
    """Return both sizes, and which of them the sizes of variants in a table start from."""
    return f"{source.sizes(model)} Variants' sizes are counted from the latter, and may exceed the file's."


def reading_remark(source: PackedSource) -> str:
    """Return how the weights of a packed model are read, and its bits per weight, with a space in front of each."""
    read = {
        "unpacked": " Its weights are unpacked to floating-point numbers.",
        "kernel": " Its weights stay packed: the library that owns the format computes with them (kernel).",
    }
    said = ", ".join(f"{role.replace('_', '-')} {bits:.3g}" for role, bits in source.bits.items())
    return read.get(source.reading or "", "") + (f" Bits per weight: {said}." if said else "")
