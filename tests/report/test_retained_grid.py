"""Grids of what is retained by treatment and scope."""

from dataclasses import replace

from forgetmeter.report.retained_grid import grid_text, retained_grids
from forgetmeter.report.words.recipe_words import treatment
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.specs.method_facts import FOR_EARLIER_RUNS
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.statistics.paired import Estimate


def test_treatments_in_words():
    def said(recipe):
        return treatment(parse_recipe(recipe), FOR_EARLIER_RUNS)

    assert said("l1_unstructured:overall:0.2+dynamic_int8:overall") == "20% pruned, then 8-bit"
    assert said("dynamic_int8:attention+l1_unstructured:attention:0.4") == "8-bit, then 40% pruned"

    def said(recipe):
        return treatment(parse_recipe(recipe), FOR_EARLIER_RUNS)

    assert said("l1_unstructured:overall:0.25:pool=matrix") == "25% pruned (pool matrix)"


def test_a_grid_shows_what_is_retained_by_treatment_and_scope(summary):
    piqa, trex = retained_grids(summary)
    assert (piqa.task, piqa.scopes) == ("piqa", ("attention", "feed-forward", "both"))
    assert (piqa.known, piqa.items, piqa.chance) == (round(0.712 * 1838), 1838, 0.5)
    assert piqa.treatments == ("10% pruned", "30% pruned", "8-bit", "40% pruned, then 8-bit")
    assert piqa.retained[0] == (0.912, 0.912, 0.912)
    assert piqa.retained[2] == (None, None, 0.912)
    assert trex.treatments == (
        "10% pruned",
        "30% pruned",
        "8-bit",
        "rounded to 4 bits (group size 64)",
        "40% pruned, then 8-bit",
    )


def test_recipes_of_the_same_words_are_rows_of_their_own(summary):
    (cell, *_) = [each for each in summary.cells if each.recipe == "dynamic_int8:overall" and each.task == "piqa"]
    other = replace(cell, recipe="dynamic_int8:overall:granularity=per_channel", retained=Estimate(0.5, 0.4, 0.6))
    recorded = {"kind": "quantizes", "phrase": "8-bit", "unsaid": ["granularity"]}
    study = StudyRecord({"methods": {"dynamic_int8": recorded}})
    grid = retained_grids(replace(summary, study=study, cells=(*summary.cells, other)))[0]
    shown = [row for name, row in zip(grid.treatments, grid.retained, strict=True) if name == "8-bit"]
    assert shown == [(None, None, 0.912), (None, None, 0.5)]


def test_a_grid_as_text_is_aligned(summary):
    text = grid_text(retained_grids(summary)[0])
    assert "answers 71.2% of 1,838 items of piqa correctly" in text
    assert "Share of the 1,309 correct answers that are still correct after compression" in text
    assert "(Guessing gets 50.0% right.)" in text
    rows = [line for line in text.splitlines() if "91.2%" in line or "both" in line]
    assert len({len(line) for line in rows}) == 1
    assert max(map(len, text.splitlines())) <= 100


def test_a_single_correct_answer_is_singular(summary):
    grid = replace(retained_grids(summary)[0], known=1)
    assert "Share of the 1 correct answer that is still correct after compression" in grid_text(grid)


def test_almost_all_is_not_shown_as_all(summary):
    grid = replace(retained_grids(summary)[0], known=9999, items=10_000)
    assert "answers all but 1 of 10,000 items of piqa correctly" in grid_text(grid)
    assert "answers 100.0% of 10,000" in grid_text(replace(grid, known=10_000))


def test_without_a_baseline_there_is_no_grid(summary):
    assert retained_grids(replace(summary, cells=summary.cells[2:])) == []


def test_recipes_over_several_scopes_are_in_no_grid(summary):
    (cell, *_) = [each for each in summary.cells if each.recipe == "dynamic_int8:overall" and each.task == "piqa"]
    mixed = replace(cell, recipe="dynamic_int8:overall+l1_unstructured:attention:0.2")
    grid = retained_grids(replace(summary, cells=(*summary.cells, mixed)))[0]
    assert "8-bit, then 20% pruned" not in grid.treatments
