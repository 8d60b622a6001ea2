"""Findings that compare scopes, or methods, at the same level: three from the paper and one from related work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from forgetmeter.results.findings.effect import ClaimTest, Effect
from forgetmeter.results.findings.evidence import Evidence
from forgetmeter.results.findings.finding import Claim
from forgetmeter.results.treatments import ATTENTION, BOTH, FEED_FORWARD, HEAD, Treatment, scope_groups


def mean_difference(evidence: Evidence, pairs: Sequence[tuple[str, str]], *, detail: str = "") -> Effect:
    """Return the mean over pairs of the first recipe's retained share minus the second one's."""
    coefficients: dict[str, float] = {}
    for better, worse in pairs:
        coefficients[better] = coefficients.get(better, 0.0) + 1 / len(pairs)
        coefficients[worse] = coefficients.get(worse, 0.0) - 1 / len(pairs)
    return Effect.of(evidence, coefficients, detail=detail)


def _attention_over_feed_forward(evidence: Evidence, treatments: Sequence[Treatment], *, missing: str) -> Effect | str:
    """Return the mean retained with attention compressed minus that with feed-forward; ``missing`` without a pair."""
    groups = scope_groups(treatments, (ATTENTION, FEED_FORWARD))
    if not groups:
        return missing
    return mean_difference(evidence, [(group[ATTENTION], group[FEED_FORWARD]) for group in groups])


def _overall(evidence: Evidence) -> Effect | str:
    groups = scope_groups(evidence.pruned, (ATTENTION, FEED_FORWARD, BOTH))
    if not groups:
        return (
            "needs pruning of attention, feed_forward and overall at one level, such as l1_unstructured:attention:0.5, "
            "l1_unstructured:feed_forward:0.5 and l1_unstructured:overall:0.5"
        )
    effects = [
        mean_difference(evidence, [(group[scope], group[BOTH]) for group in groups], detail=f"decided by {scope}")
        for scope in (ATTENTION, FEED_FORWARD)
    ]
    return replace(min(effects, key=lambda effect: effect.value), trials=len(effects))


OVERALL_HURTS_MOST = ClaimTest(
    Claim(
        name="overall_hurts_most",
        sentence="Pruning attention and feed-forward together hurts knowledge most.",
        source="arXiv 2312.00960",
        question="At equal sparsity, is less retained after pruning both than after pruning either of them alone?",
        test="Retained with attention pruned minus with both, and with feed-forward pruned minus with both, each the "
        "mean over methods and levels. Both must be above zero, so the smaller one decides.",
        unit="retained",
    ),
    _overall,
)


def _quantized_attention(evidence: Evidence) -> Effect | str:
    return _attention_over_feed_forward(
        evidence,
        evidence.quantized,
        missing="needs one quantization of both scopes, such as dynamic_int8:attention and dynamic_int8:feed_forward",
    )


QUANTIZED_ATTENTION = ClaimTest(
    Claim(
        name="quantizing_attention_cheaper",
        sentence="Quantizing attention costs less than quantizing feed-forward.",
        source="arXiv 2312.00960",
        question="With the same method and bits, is more retained if attention is quantized than if feed-forward is?",
        test="Retained with attention quantized minus retained with feed-forward quantized; the mean over methods "
        "and bits.",
        unit="retained",
    ),
    _quantized_attention,
)


def _structured_head(evidence: Evidence) -> Effect | str:
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


STRUCTURED_FINAL_LAYER = ClaimTest(
    Claim(
        name="structured_final_layer_worse",
        sentence="Structured pruning of the final layer is worse than unstructured pruning.",
        source="arXiv 2312.00960",
        question="At equal sparsity of the head, is more retained with single weights pruned than with whole rows?",
        test="Retained under l1_unstructured minus retained under ln_structured, and likewise for random_unstructured "
        "and random_structured, all on the head; the mean over pairs and levels.",
        unit="retained",
    ),
    _structured_head,
)


def _pruned_attention(evidence: Evidence) -> Effect | str:
    return _attention_over_feed_forward(
        evidence, evidence.pruned, missing="needs pruning of attention and feed_forward at one level"
    )


ATTENTION_AT_EQUAL_SPARSITY = ClaimTest(
    Claim(
        name="attention_cheaper_at_equal_sparsity",
        sentence="Pruning attention costs less than pruning the same share of feed-forward.",
        source="arXiv 2310.04680",
        question="At equal sparsity, is more retained with attention pruned than with feed-forward pruned?",
        test="Retained with attention pruned minus retained with feed-forward pruned; the mean over methods "
        "and levels.",
        unit="retained",
    ),
    _pruned_attention,
)
