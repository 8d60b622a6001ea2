"""Names of a variant's sizes, in display order."""

from __future__ import annotations

from forgetmeter.results.frontier import Measure

SIZES: dict[Measure, str] = {
    "dense_bytes": "dense",
    "bitmask_bytes": "bitmask",
    "quantized_bytes": "quantized",
    "smallest_bytes": "smallest",
}
