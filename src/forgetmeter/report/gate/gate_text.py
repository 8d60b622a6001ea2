"""Verdicts of a gate for the terminal."""

from __future__ import annotations

import textwrap

from rich.text import Text

from forgetmeter.report.columns import Column, in_columns
from forgetmeter.report.gate.gate_words import answer, how_to_read, items, observed, remark, size_in_words, subject
from forgetmeter.report.words.recipe_words import variant_name
from forgetmeter.results.gate.check import GateVerdict
from forgetmeter.results.gate.gate import Gate, VariantGate

_STYLES: dict[GateVerdict, str] = {
    "PASS": "green",
    "FAIL": "bold red",
    "INCONCLUSIVE": "yellow",
    "UNMEASURED": "yellow",
}


def gate_text(gate: Gate, *, width: int) -> Text:
    """Return the verdicts as styled text for a rich console, the checks of each variant first."""
    text = Text()
    for variant in gate.variants:
        text.append_text(_variant(variant, width))
        text.append("\n")
    text.append(textwrap.fill(how_to_read(gate), width) + "\n\n", "dim")
    text.append(f"{answer(gate)}\n", _STYLES[gate.verdict])
    return text


def _variant(variant: VariantGate, width: int) -> Text:
    text = Text(f"{variant.model} · {variant_name(variant.recipe)}: ", "bold")
    text.append(variant.verdict, _STYLES[variant.verdict])
    size = size_in_words(variant)
    text.append(f" · {size}\n" if size else "\n", "dim")
    columns = [
        Column("verdict"),
        Column("condition"),
        Column("on"),
        Column("observed [95%]"),
        Column("items", align="right"),
        Column(""),
    ]
    rows = [
        (each.verdict, str(each.check.condition), subject(each.check), observed(each), items(each), remark(each))
        for each in variant.results
    ]
    return text.append_text(
        in_columns(columns, rows, width=width, indent=2, styles=[_STYLES[each.verdict] for each in variant.results])
    )
