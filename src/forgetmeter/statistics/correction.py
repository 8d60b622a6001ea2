"""Correction of p-values for multiple comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from statsmodels.stats.multitest import multipletests


def holm_corrected(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected by Holm's method; ``None``, for no test, stays ``None``."""
    tested = [value for value in p_values if value is not None]
    corrected = iter(multipletests(tested, method="holm")[1] if tested else ())
    return [None if value is None else float(next(corrected)) for value in p_values]
