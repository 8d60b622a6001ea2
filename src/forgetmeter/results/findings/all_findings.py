"""All findings of a run."""

from __future__ import annotations

from forgetmeter.results.findings.attention_at_equal_removed import attention_cheaper_at_equal_removed
from forgetmeter.results.findings.attention_at_equal_sparsity import attention_cheaper_at_equal_sparsity
from forgetmeter.results.findings.evidence import gather
from forgetmeter.results.findings.facts_before_perplexity import facts_before_perplexity
from forgetmeter.results.findings.final_layer_majority import final_layer_majority
from forgetmeter.results.findings.finding import Finding
from forgetmeter.results.findings.hidden_flips import accuracy_hides_flips
from forgetmeter.results.findings.overall_hurts_most import overall_hurts_most
from forgetmeter.results.findings.quantized_attention import quantizing_attention_cheaper
from forgetmeter.results.findings.rapid_fall import rapid_fall_past_half
from forgetmeter.results.findings.rare_facts_first import rare_facts_first
from forgetmeter.results.findings.structured_final_layer import structured_final_layer_worse
from forgetmeter.results.findings.verdicts import with_verdicts
from forgetmeter.results.summary import Summary
from forgetmeter.runs.run import Run

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
"""The paper's four findings (the fourth in two parts), then those of related work."""


def find(run: Run, summary: Summary) -> tuple[Finding, ...]:
    """Test all claims on a run."""
    models = gather(run, summary)
    return with_verdicts([test(models) for test in FINDINGS])
