"""All findings of a run."""

from __future__ import annotations

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
from forgetmeter.results.findings.finding import Finding
from forgetmeter.results.findings.verdicts import with_verdicts
from forgetmeter.results.summary import Summary
from forgetmeter.runs.run import Run

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
    return with_verdicts([test.on(models) for test in FINDINGS])
