"""Tables of how far answers moved."""

from __future__ import annotations

import pytest

from forgetmeter.report.formats.show_text import shifts_text
from forgetmeter.report.shift_tables import TERMS, shift_tables, shift_terms
from forgetmeter.report.words.numbers import MISSING
from forgetmeter.results.summary import Summary


def test_each_model_and_task_has_a_table_of_known_columns(summary: Summary) -> None:
    tables = shift_tables(summary)
    assert [(each.model, each.name) for each in tables] == list(
        dict.fromkeys((cell.model, cell.task) for cell in summary.cells)
    )
    for table in tables:
        cells = [cell for cell in summary.cells if (cell.model, cell.task) == (table.model, table.name)]
        assert [row.recipe for row in table.rows] == [cell.recipe for cell in cells]
        assert all(len(row.cells) == len(table.columns) for row in table.rows)
        # Columns without values are left out.
        assert all(
            any(value != MISSING for value in column) for column in zip(*[r.cells for r in table.rows], strict=True)
        )
        changed = table.columns.index("changed")
        for cell, row in zip(cells, table.rows, strict=True):
            if cell.prediction_flips is not None:
                assert row.cells[changed] == f"{100 * cell.prediction_flips:.1f}%"


def test_every_column_is_explained(summary: Summary) -> None:
    tables = shift_tables(summary)
    used = {name for table in tables for name in table.columns}
    assert {term.name for term in shift_terms(tables)} == used <= {term.name for term in TERMS}


@pytest.mark.parametrize("width", [80, 140])
def test_text_fits_the_width(summary: Summary, width: int) -> None:
    lines = shifts_text(summary, width=width).plain.splitlines()
    assert max(map(len, lines)) <= width
    assert "How to read this" in lines
