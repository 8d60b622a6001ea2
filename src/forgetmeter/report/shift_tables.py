"""Tables of how far answers moved, which accuracy does not show, and of what is left beyond guessing."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.report.table import Row, Table, Term
from forgetmeter.report.words.numbers import MISSING, percent, probability
from forgetmeter.results.cell_summary import CellSummary
from forgetmeter.results.summary import Summary

_COLUMNS = ("changed", "rank", "margin", "divergence", "p (chance)", "p (majority)", "p (relations)")

TERMS = (
    Term("changed", "share of items that are answered otherwise than by the baseline, right or wrong"),
    Term("rank", "mean of how many places further down the right answer is; above zero is worse"),
    Term(
        "margin",
        "mean change of the right answer's log-likelihood against that of the best wrong one, in nats; below zero is "
        "worse",
    ),
    Term("divergence", "mean Kullback-Leibler divergence from the baseline's distribution over the choices, in nats"),
    Term("p (chance)", "two-sided test that it is right as often as guessing, not corrected"),
    Term(
        "p (majority)",
        "exact McNemar test that it is right as often as always giving the answer that is right most often, not "
        "corrected",
    ),
    Term("p (relations)", "t test over relations that the drop is zero, corrected by Holm over all of the run"),
)


def shift_tables(summary: Summary) -> list[Table]:
    """Return a table for each model and task, of those that have outcomes to speak of."""
    found = []
    for model, task in dict.fromkeys((cell.model, cell.task) for cell in summary.cells):
        cells = [cell for cell in summary.cells if (cell.model, cell.task) == (model, task)]
        rows = [_row(cell) for cell in cells]
        # What nothing is known of in the whole table needs no column.
        kept = [place for place in range(len(_COLUMNS)) if any(row.cells[place] != MISSING for row in rows)]
        if kept:
            columns = tuple(_COLUMNS[place] for place in kept)
            narrow = tuple(Row(row.recipe, tuple(row.cells[place] for place in kept)) for row in rows)
            found.append(Table(model, task, (), columns, narrow))
    return found


def shift_terms(tables: Sequence[Table]) -> list[Term]:
    """Return what the columns of these tables mean."""
    used = {name for table in tables for name in table.columns}
    return [term for term in TERMS if term.name in used]


def _row(cell: CellSummary) -> Row:
    return Row(
        cell.recipe,
        (
            percent(cell.prediction_flips),
            _signed(cell.rank_shift),
            _signed(cell.margin_shift),
            MISSING if cell.divergence is None else f"{cell.divergence:.3f}",
            probability(cell.p_chance),
            probability(cell.p_majority),
            probability(cell.p_relations_holm),
        ),
    )


def _signed(value: float | None) -> str:
    if value is None:
        return MISSING
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text
