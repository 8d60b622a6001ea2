"""All findings of a run, and verdicts on them with p-values corrected for all tests of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from forgetmeter.results.compared.cell_summary import SIGNIFICANT
from forgetmeter.results.findings import (
    at_equal_level,
    attention_at_equal_removed,
    facts_before_perplexity,
    final_layer_majority,
    hidden_flips,
    rapid_fall,
    rare_facts_first,
)
from forgetmeter.results.findings.evidence import gather
from forgetmeter.results.findings.finding import Finding, ModelResult, Verdict
from forgetmeter.results.summary import Summary
from forgetmeter.runs.run import Run
from forgetmeter.statistics.correction import holm_corrected
from forgetmeter.statistics.paired import Estimate

FINDINGS = (
    at_equal_level.OVERALL_HURTS_MOST,
    rapid_fall.TEST,
    at_equal_level.QUANTIZED_ATTENTION,
    at_equal_level.STRUCTURED_FINAL_LAYER,
    final_layer_majority.TEST,
    at_equal_level.ATTENTION_AT_EQUAL_SPARSITY,
    attention_at_equal_removed.TEST,
    facts_before_perplexity.TEST,
    hidden_flips.TEST,
    rare_facts_first.TEST,
)
"""The paper's four findings (the fourth in two parts), then those of related work."""


def find(run: Run, summary: Summary) -> tuple[Finding, ...]:
    """Test all claims on a run."""
    models = gather(run, summary)
    return _with_verdicts([test.on(models) for test in FINDINGS])


def _with_verdicts(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings with verdicts and with p-values corrected by Holm over all claims and models tested."""
    corrected = iter(holm_corrected([result.p_value for finding in findings for result in finding.results]))
    found = []
    for finding in findings:
        results = tuple(_judged(result, next(corrected), finding.claim.threshold) for result in finding.results)
        found.append(replace(finding, results=results, verdict=overall_verdict([result.verdict for result in results])))
    return tuple(found)


def _judged(result: ModelResult, p_holm: float | None, threshold: float) -> ModelResult:
    if result.effect is None or p_holm is None:
        return result
    effects = [task.effect for task in result.tasks if task.effect is not None]
    verdict = verdict_on(result.effect, p_holm, threshold)
    if (verdict == "supported" and any(effect.high < threshold for effect in effects)) or (
        verdict == "contradicted" and any(effect.low > threshold for effect in effects)
    ):
        verdict = "inconclusive"
    return replace(result, p_holm=p_holm, verdict=verdict)


def verdict_on(effect: Estimate, p_holm: float, threshold: float = 0.0) -> Verdict:
    """Return the verdict on an effect: clear if its corrected p-value and its whole interval are."""
    if p_holm < SIGNIFICANT and effect.low > threshold:
        return "supported"
    return "contradicted" if p_holm < SIGNIFICANT and effect.high < threshold else "inconclusive"


def overall_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict over models: that of the clear ones if they agree."""
    given = set(verdicts)
    if "supported" in given and "contradicted" not in given:
        return "supported"
    if "contradicted" in given and "supported" not in given:
        return "contradicted"
    return "inconclusive" if given - {"not tested"} else "not tested"
