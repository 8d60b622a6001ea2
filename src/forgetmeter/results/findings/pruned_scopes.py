"""Comparison of scopes that are compressed by the same method at the same level."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.results.findings.effect import Effect
from forgetmeter.results.findings.evidence import Evidence


def mean_difference(evidence: Evidence, pairs: Sequence[tuple[str, str]], *, detail: str = "") -> Effect:
    """Return the mean over pairs of the first recipe's retained share minus the second one's."""
    coefficients: dict[str, float] = {}
    for better, worse in pairs:
        coefficients[better] = coefficients.get(better, 0.0) + 1 / len(pairs)
        coefficients[worse] = coefficients.get(worse, 0.0) - 1 / len(pairs)
    value, draws = evidence.draws.contrast(coefficients)
    return Effect(value, draws, evidence.draws.clusters, tuple(coefficients), detail)
