"""Verdicts on claims, with p-values corrected for all tests of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from forgetmeter.results.compared.cell_summary import SIGNIFICANT
from forgetmeter.results.findings.finding import Finding, ModelResult, Verdict
from forgetmeter.statistics.correction import holm_corrected


def with_verdicts(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings with verdicts and with p-values corrected by Holm over all claims and models tested."""
    corrected = iter(holm_corrected([result.p_value for finding in findings for result in finding.results]))
    found = []
    for finding in findings:
        results = tuple(_judged(result, next(corrected), finding.claim.threshold) for result in finding.results)
        found.append(replace(finding, results=results, verdict=_overall([result.verdict for result in results])))
    return tuple(found)


def _judged(result: ModelResult, p_holm: float | None, threshold: float) -> ModelResult:
    if result.effect is None or p_holm is None:
        return result
    verdict: Verdict = "inconclusive"
    effects = [task.effect for task in result.tasks if task.effect is not None]
    if p_holm >= SIGNIFICANT:
        pass
    elif result.effect.low > threshold and not any(effect.high < threshold for effect in effects):
        verdict = "supported"
    elif result.effect.high < threshold and not any(effect.low > threshold for effect in effects):
        verdict = "contradicted"
    return replace(result, p_holm=p_holm, verdict=verdict)


def _overall(verdicts: Sequence[Verdict]) -> Verdict:
    given = set(verdicts)
    if "supported" in given and "contradicted" not in given:
        return "supported"
    if "contradicted" in given and "supported" not in given:
        return "contradicted"
    return "inconclusive" if given - {"not tested"} else "not tested"
