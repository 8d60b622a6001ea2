"""The paper's third finding: quantizing attention costs less than quantizing feed-forward."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.results.findings.effect import Effect, tested
from forgetmeter.results.findings.evidence import Evidence, ModelEvidence
from forgetmeter.results.findings.finding import Claim, Finding
from forgetmeter.results.findings.pruned_scopes import mean_difference
from forgetmeter.results.treatments import ATTENTION, FEED_FORWARD, scope_groups

CLAIM = Claim(
    name="quantizing_attention_cheaper",
    sentence="Quantizing attention costs less than quantizing feed-forward.",
    source="arXiv 2312.00960",
    question="With the same method and bits, is more retained if attention is quantized than if feed-forward is?",
    test="Retained with attention quantized minus retained with feed-forward quantized; the mean over methods and "
    "bits.",
    unit="retained",
)


def quantizing_attention_cheaper(models: Sequence[ModelEvidence]) -> Finding:
    """Test the claim."""
    return tested(CLAIM, models, _effect)


def _effect(evidence: Evidence) -> Effect | str:
    groups = scope_groups(evidence.quantized, (ATTENTION, FEED_FORWARD))
    if not groups:
        return "needs one quantization of both scopes, such as dynamic_int8:attention and dynamic_int8:feed_forward"
    return mean_difference(evidence, [(group[ATTENTION], group[FEED_FORWARD]) for group in groups])
