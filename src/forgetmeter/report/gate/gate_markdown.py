"""Verdicts of a gate as Markdown, for the summary of a CI job."""

from __future__ import annotations

from forgetmeter.report.formats.show_markdown import escaped
from forgetmeter.report.gate.gate_words import answer, items, observed, remark, size_in_words, subject
from forgetmeter.report.words.recipe_words import variant_name
from forgetmeter.results.gate.gate import Gate


def gate_markdown(gate: Gate) -> str:
    """Return a heading with the verdict, and a table for each variant."""
    lines = [f"## {escaped(answer(gate))}", ""]
    for variant in gate.variants:
        size = size_in_words(variant)
        about = " · ".join(text for text in (variant.model, variant_name(variant.recipe), size) if text)
        lines += [f"### {variant.verdict}: {escaped(about)}", ""]
        lines += ["| verdict | condition | on | observed \\[95%\\] | items | |", "|:---|:---|:---|:---|---:|:---|"]
        for each in variant.results:
            cells = (str(each.check.condition), subject(each.check), observed(each), items(each), remark(each))
            lines.append(f"| {each.verdict} | {' | '.join(map(escaped, cells))} |")
        lines.append("")
    lines += [] if gate.policy.digest is None else [f"SHA-256 of the policy: `{gate.policy.digest}`", ""]
    return "\n".join(lines)
