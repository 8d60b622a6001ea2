"""From related work: pruning attention costs fewer facts than pruning feed-forward, at equal sparsity."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.results.findings.effect import Effect, tested
from forgetmeter.results.findings.evidence import Evidence, ModelEvidence
from forgetmeter.results.findings.finding import Claim, Finding
from forgetmeter.results.findings.pruned_scopes import mean_difference
from forgetmeter.results.treatments import ATTENTION, FEED_FORWARD, scope_groups

CLAIM = Claim(
    name="attention_cheaper_at_equal_sparsity",
    sentence="Pruning attention costs less than pruning the same share of feed-forward.",
    source="arXiv 2310.04680",
    question="At equal sparsity, is more retained with attention pruned than with feed-forward pruned?",
    test="Retained with attention pruned minus retained with feed-forward pruned; the mean over methods and levels.",
    unit="retained",
)


def attention_cheaper_at_equal_sparsity(models: Sequence[ModelEvidence]) -> Finding:
    """Test the claim."""
    return tested(CLAIM, models, _effect)


def _effect(evidence: Evidence) -> Effect | str:
    groups = scope_groups(evidence.pruned, (ATTENTION, FEED_FORWARD))
    if not groups:
        return "needs pruning of attention and feed_forward at one level"
    return mean_difference(evidence, [(group[ATTENTION], group[FEED_FORWARD]) for group in groups])
