"""The paper's fourth finding, first half: structured pruning of the final layer is worse than unstructured."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.results.findings.effect import Effect, tested
from forgetmeter.results.findings.evidence import Evidence, ModelEvidence
from forgetmeter.results.findings.finding import Claim, Finding
from forgetmeter.results.findings.pruned_scopes import mean_difference
from forgetmeter.results.treatments import HEAD

CLAIM = Claim(
    name="structured_final_layer_worse",
    sentence="Structured pruning of the final layer is worse than unstructured pruning.",
    source="arXiv 2312.00960",
    question="At equal sparsity of the head, is more retained with single weights pruned than with whole rows?",
    test="Retained under l1_unstructured minus under ln_structured, and random_unstructured minus random_structured, "
    "all on the head; the mean over pairs and levels.",
    unit="retained",
)


def structured_final_layer_worse(models: Sequence[ModelEvidence]) -> Finding:
    """Test the claim."""
    return tested(CLAIM, models, _effect)


def _effect(evidence: Evidence) -> Effect | str:
    of_head = [each for each in evidence.treatments if each.place == HEAD]
    single = {(each.name, each.level): each.recipe for each in of_head}
    pairs = [
        (single[each.facts.counterpart, each.level], each.recipe)
        for each in of_head
        if (each.facts.counterpart, each.level) in single
    ]
    if not pairs:
        return "needs structured and unstructured pruning of the head at one level, as in preset:paper/final_layer"
    return mean_difference(evidence, pairs)
