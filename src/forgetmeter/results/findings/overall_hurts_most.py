"""The paper's first finding: pruning all modules together hurts parametric knowledge most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from forgetmeter.results.findings.effect import Effect, tested
from forgetmeter.results.findings.evidence import Evidence, ModelEvidence
from forgetmeter.results.findings.finding import Claim, Finding
from forgetmeter.results.findings.pruned_scopes import mean_difference
from forgetmeter.results.treatments import ATTENTION, BOTH, FEED_FORWARD, scope_groups

CLAIM = Claim(
    name="overall_hurts_most",
    sentence="Pruning attention and feed-forward together hurts knowledge most.",
    source="arXiv 2312.00960",
    question="At equal sparsity, is less retained after pruning both than after pruning either of them alone?",
    test="Retained with attention pruned minus with both, and with feed-forward pruned minus with both, each the mean "
    "over methods and levels. Both must be above zero, so the smaller one decides.",
    unit="retained",
)


def overall_hurts_most(models: Sequence[ModelEvidence]) -> Finding:
    """Test the claim."""
    return tested(CLAIM, models, _effect)


def _effect(evidence: Evidence) -> Effect | str:
    groups = scope_groups(evidence.pruned, (ATTENTION, FEED_FORWARD, BOTH))
    if not groups:
        return (
            "needs pruning of attention, feed_forward and overall at one level, such as l1_unstructured:attention:0.5, "
            "l1_unstructured:feed_forward:0.5 and l1_unstructured:overall:0.5"
        )
    effects = [
        mean_difference(
            evidence,
            [(group[scope], group[BOTH]) for group in groups],
            detail=f"decided by {scope}",
        )
        for scope in (ATTENTION, FEED_FORWARD)
    ]
    return replace(min(effects, key=lambda effect: effect.value), trials=len(effects))
