"""Correction of p-values for multiple comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forgetmeter.statistics.paired import CONFIDENCE


def joint_confidence(checks: int) -> float:
    """Return the confidence of each of several intervals that hold together at ``CONFIDENCE`` (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / max(checks, 1)


def holm_corrected(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected by Holm's method; ``None``, for no test, stays ``None``.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2), 1979,
    65-70: each p-value times the number of those that are not smaller, at least the corrected values before it and at
    most 1.
    """
    places = [place for place, value in enumerate(p_values) if value is not None]
    tested = np.asarray([p_values[place] for place in places], dtype=np.float64)
    order = np.argsort(tested)
    times = np.arange(len(tested), 0, -1)
    corrected: list[float | None] = [None] * len(p_values)
    for place, value in zip(order, np.maximum.accumulate(tested[order] * times).clip(max=1), strict=True):
        corrected[places[place]] = float(value)
    return corrected
