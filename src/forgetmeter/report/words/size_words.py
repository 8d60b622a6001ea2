"""Names of a variant's sizes, in display order, and both sizes of a packed source."""

from __future__ import annotations

from forgetmeter.records.packed_source import PackedSource
from forgetmeter.report.words.numbers import megabytes
from forgetmeter.results.frontier import Measure

SIZES: dict[Measure, str] = {
    "dense_bytes": "dense",
    "bitmask_bytes": "bitmask",
    "quantized_bytes": "quantized",
    "smallest_bytes": "smallest",
}


def packed_sentence(model: str, source: PackedSource) -> str:
    """Return both sizes of a model whose files store fewer bits than the numbers it is read as."""
    (stored,), (dense,) = megabytes([source.bytes]), megabytes([source.dense_bytes])
    made = f", made by {source.maker}" if source.maker else ""
    return f"{model} takes {stored} MB as stored ({source.format}{made}), and {dense} MB as float32."


def packed_remark(model: str, source: PackedSource) -> str:
    """Return both sizes, and which of them the sizes of variants in a table start from."""
    return f"{packed_sentence(model, source)} Variants' sizes are counted from the latter."


def reading_remark(source: PackedSource) -> str:
    """Return how the weights of a packed model are read, and its bits per weight, with a space in front of each."""
    read = {
        "unpacked": " Its weights are unpacked to plain numbers.",
        "kernel": " Its weights stay packed: the library that owns the format computes with them (kernel).",
    }
    said = ", ".join(f"{role.replace('_', '-')} {bits:.3g}" for role, bits in source.bits.items())
    return read.get(source.reading or "", "") + (f" Bits per weight: {said}." if said else "")
