"""Numbers, formatted for readers."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.statistics.paired import Estimate

MISSING = "—"


def percent(share: float | None) -> str:
    """Return a share as a percentage with one decimal."""
    return MISSING if share is None else f"{_signless(100 * share, 1)}%"


def percent_range(shares: Sequence[float]) -> str:
    """Return the smallest and the largest share as percentages, or the only one: ``from 5.0% to 10.0%``, ``5.0%``."""
    low, high = percent(min(shares)), percent(max(shares))
    return low if low == high else f"from {low} to {high}"


def share_or_all_but(number: int, total: int) -> str:
    """Return a part of a total as a percentage, or as ``all but 3`` if it would wrongly round to 100%."""
    share = percent(number / total)
    return f"all but {count(total - number)}" if number < total and share == percent(1.0) else share


def interval(estimate: Estimate) -> str:
    """Return the interval of a share or of a difference of shares in percentage points, without a unit."""
    return f"[{_signless(100 * estimate.low, 1)}, {_signless(100 * estimate.high, 1)}]"


def percent_interval(estimate: Estimate) -> str:
    """Return a share as a percentage with its interval."""
    return f"{percent(estimate.value)} {interval(estimate)}"


def points_interval(estimate: Estimate) -> str:
    """Return a difference of shares in percentage points with its interval."""
    return f"{points(estimate.value)} {interval(estimate)}"


def correlation_interval(estimate: Estimate | None) -> str:
    """Return a correlation with its interval."""
    return MISSING if estimate is None else f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def points(share: float) -> str:
    """Return a difference of shares in percentage points, without a unit."""
    return _signless(100 * share, 1)


def probability(value: float | None) -> str:
    """Return a p-value."""
    if value is None:
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def count(value: int | None) -> str:
    """Return an integer with thousands separators."""
    return MISSING if value is None else f"{value:,}"


def magnitude(value: int | None) -> str:
    """Return a large integer as thousands (k), millions (M) or billions (B) with one decimal."""
    if value is None:
        return MISSING
    # From 999,950 on, thousands would round to 1000.0 k.
    for least, unit, name in ((999_950_000, 10**9, "B"), (999_950, 10**6, "M"), (1_000, 10**3, "k")):
        if value >= least:
            return f"{value / unit:.1f} {name}"
    return str(value)


def _signless(value: float, decimals: int) -> str:
    """Return a number with fixed decimals, without the sign of a negative zero."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text
