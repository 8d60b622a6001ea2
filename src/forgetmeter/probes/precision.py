"""Precision at one and at five, and reciprocal rank, of one item."""

from __future__ import annotations

from forgetmeter.probes.cloze_outcome import Ranked

P_AT_1, P_AT_5, MRR = "p_at_1", "p_at_5", "mrr"


def precision(ranked: Ranked, prefix: str = "") -> dict[str, float]:
    """Return whether the right answer came first, and whether among the first five.

    Args:
        ranked: Where it came.
        prefix: What to put before the metrics' names.
    """
    return {f"{prefix}{P_AT_1}": float(ranked.correct), f"{prefix}{P_AT_5}": float(ranked.is_among_few)}
