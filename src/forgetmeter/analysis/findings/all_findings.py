"""All findings of a run."""

from __future__ import annotations

from forgetmeter.analysis.findings.attention_at_equal_removed import attention_cheaper_at_equal_removed
from forgetmeter.analysis.findings.attention_at_equal_sparsity import attention_cheaper_at_equal_sparsity
from forgetmeter.analysis.findings.evidence import gather
from forgetmeter.analysis.findings.facts_before_perplexity import facts_before_perplexity
from forgetmeter.analysis.findings.final_layer_majority import final_layer_majority
from forgetmeter.analysis.findings.finding import Finding
from forgetmeter.analysis.findings.hidden_flips import accuracy_hides_flips
from forgetmeter.analysis.findings.overall_hurts_most import overall_hurts_most
from forgetmeter.analysis.findings.quantized_attention import quantizing_attention_cheaper
from forgetmeter.analysis.findings.rapid_fall import rapid_fall_past_half
from forgetmeter.analysis.findings.rare_facts_first import rare_facts_first
from forgetmeter.analysis.findings.structured_final_layer import structured_final_layer_worse
from forgetmeter.analysis.findings.verdicts import with_verdicts
from forgetmeter.analysis.frames import Run
from forgetmeter.analysis.summary import Summary

FINDINGS = (
    overall_hurts_most,
    rapid_fall_past_half,
    quantizing_attention_cheaper,
    structured_final_layer_worse,
    final_layer_majority,
    attention_cheaper_at_equal_sparsity,
    attention_cheaper_at_equal_removed,
    facts_before_perplexity,
    accuracy_hides_flips,
    rare_facts_first,
)
"""The paper's four (the fourth in two halves), then those of related work."""


def find(run: Run, summary: Summary | None = None) -> tuple[Finding, ...]:
    """Test all claims on a run.

    Args:
        run: The run, finished or not.
        summary: Its summary, where there is one already.
    """
    models = gather(run, summary or run.summary)
    return with_verdicts([test(models) for test in FINDINGS])
