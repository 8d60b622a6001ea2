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
    return f"{model} takes {stored} MB as stored ({source.format}), and {dense} MB as float32."


def packed_remark(model: str, source: PackedSource) -> str:
    """Return both sizes, and which of them the sizes of variants in a table start from."""
    return f"{packed_sentence(model, source)} Variants' sizes are counted from the latter."
