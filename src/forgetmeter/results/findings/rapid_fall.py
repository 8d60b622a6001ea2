"""The paper's second finding: past 50% sparsity, knowledge falls rapidly."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.basics.plural import counted
from forgetmeter.results.findings.effect import ClaimTest, Effect
from forgetmeter.results.findings.evidence import Evidence
from forgetmeter.results.findings.finding import Claim
from forgetmeter.results.treatments import ATTENTION, BOTH, FEED_FORWARD, Treatment, curves

HALF = 0.5
_STEP = 0.1

CLAIM = Claim(
    name="rapid_fall_past_half",
    sentence="Past 50% sparsity, knowledge falls rapidly.",
    source="arXiv 2312.00960",
    question="Is more lost for each further 10% of sparsity past 50% than up to 50%?",
    test="Loss of retained per 10% of sparsity from 50% to the highest level, minus that from 0 to 50%; the mean over "
    "methods and over the scopes attention, feed-forward and both.",
    unit="retained per 10% of sparsity",
)


def fall_past_half(evidence: Evidence, scopes: Sequence[str] = (ATTENTION, FEED_FORWARD, BOTH)) -> Effect | str:
    """Return the effect over some scopes, or what is missing for it."""
    wanted = [each for each in evidence.pruned if each.place in scopes]
    usable = [group for group in curves(wanted).values() if _has_both_sides(group)]
    if not usable:
        return "needs a pruning method at level 0.5 and at a higher one, on attention, feed_forward or overall"
    coefficients: dict[str, float] = {}
    constant = 0.0
    for group in usable:
        half, last = next(each for each in group if each.level == HALF), group[-1]
        past, before = _STEP / (float(last.level or 0) - HALF) / len(usable), _STEP / HALF / len(usable)
        coefficients[half.recipe] = past + before
        coefficients[last.recipe] = -past
        constant -= before
    highest = max(float(group[-1].level or 0) for group in usable)
    detail = f"{counted(len(usable), 'curve')}, up to {highest:.0%}"
    return Effect.of(evidence, coefficients, constant, detail=detail)


def _has_both_sides(group: Sequence[Treatment]) -> bool:
    return any(each.level == HALF for each in group) and float(group[-1].level or 0) > HALF


TEST = ClaimTest(CLAIM, fall_past_half)
