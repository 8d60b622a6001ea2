"""Tables of changes that accuracy does not show, and of tests against guessing."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.report.items_column import ITEMS, with_items
from forgetmeter.report.table import Table, TableRow, Term
from forgetmeter.report.words.numbers import MISSING, percent, probability
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.summary import Summary

_COLUMNS = ("changed", "rank", "margin", "divergence", "p (chance)", "p (majority)", "p (relations)")

TERMS = (
    Term("changed", "share of items whose answer differs from the baseline's, right or wrong"),
    Term("rank", "mean increase of the right answer's rank; positive is worse"),
    Term(
        "margin",
        "mean change of the right answer's log-likelihood minus that of the best wrong one, in nats; negative is worse",
    ),
    Term("divergence", "mean Kullback-Leibler divergence from the baseline's distribution over the choices, in nats"),
    Term("p (chance)", "two-sided test against guessing, uncorrected"),
    Term(
        "p (majority)",
        "exact McNemar test against always giving the majority answer, uncorrected",
    ),
    Term(
        "p (relations)", "t test over relations of whether the drop is zero, Holm-corrected over all tests of the run"
    ),
    ITEMS,
)


def shift_tables(summary: Summary) -> list[Table]:
    """Return the table of each model and task with at least one known value."""
    found = []
    for model, task in dict.fromkeys((cell.model, cell.task) for cell in summary.cells):
        cells = [cell for cell in summary.cells if (cell.model, cell.task) == (model, task)]
        rows = [_row(cell) for cell in cells]
        # Columns without any value are left out.
        kept = [place for place in range(len(_COLUMNS)) if any(row.cells[place] != MISSING for row in rows)]
        if kept:
            columns = tuple(_COLUMNS[place] for place in kept)
            narrow = tuple(TableRow(row.recipe, tuple(row.cells[place] for place in kept)) for row in rows)
            found.append(with_items(Table(model, task, (), columns, narrow), cells))
    return found


def shift_terms(tables: Sequence[Table]) -> list[Term]:
    """Return the terms that explain the columns of these tables."""
    used = {name for table in tables for name in table.columns}
    return [term for term in TERMS if term.name in used]


def _row(cell: CellSummary) -> TableRow:
    return TableRow(
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
