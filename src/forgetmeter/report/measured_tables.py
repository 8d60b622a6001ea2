"""Tables of tasks without right answers."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.plural import counted
from forgetmeter.report.table import Row, Table, Term, failed_row
from forgetmeter.report.words.left_out_facts import left_out_facts
from forgetmeter.report.words.numbers import MISSING
from forgetmeter.results.measured import COMPARED, MeasuredSummary
from forgetmeter.results.summary import Summary

_METRICS = {
    "word_perplexity": "word ppl",
    "byte_perplexity": "byte ppl",
    "bits_per_byte": "bits/byte",
    "token_perplexity": "token ppl",
}
_COLUMNS = ("word ppl", "× baseline", "byte ppl", "bits/byte", "token ppl")
_LARGE = 10_000

TERMS = (
    Term("word ppl", "perplexity per word: exp of the mean negative log-likelihood per word in nats; lower is better"),
    Term("× baseline", "ratio to the baseline's perplexity on the same text"),
    Term("byte ppl", "perplexity per byte of UTF-8, which is comparable between models with different tokenizers"),
    Term("bits/byte", "its base-2 logarithm: bits per byte of text"),
    Term("token ppl", "perplexity per token of the model's own tokenizer"),
)


def measured_tables(model: str, summary: Summary) -> list[Table]:
    """Return a table for each task without right answers that a model was evaluated on."""
    cells = [cell for cell in summary.measured if cell.model == model]
    return [_table(model, task, cells, summary) for task in dict.fromkeys(cell.task for cell in cells)]


def _table(model: str, task: str, cells: Sequence[MeasuredSummary], summary: Summary) -> Table:
    done = {cell.recipe: cell for cell in cells if cell.task == task}
    failed = {each.recipe: each for each in summary.failures if (each.model, each.task) == (model, task)}
    rows = []
    for variant in summary.variants:
        if variant.model == model and variant.recipe in done:
            rows.append(Row(variant.recipe, _values(done[variant.recipe])))
        elif variant.model == model and variant.recipe in failed:
            rows.append(failed_row(failed[variant.recipe]))
    number = max(cell.items for cell in done.values())
    facts = (counted(number, "text"), *left_out_facts(list(done.values())))
    return Table(model, task, facts, _COLUMNS, tuple(rows))


def _values(cell: MeasuredSummary) -> tuple[str, ...]:
    first, *others = (_number(cell.metrics.get(name)) for name in _METRICS)
    return (first, _number(cell.ratios.get(COMPARED)), *others)


def _number(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.3g}" if value >= _LARGE else f"{value:.3f}"
