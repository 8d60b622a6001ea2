"""Charts of what is retained over perplexity."""

from __future__ import annotations

import math

from forgetmeter.report.figures.perplexity_figure import perplexity_figure
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.specs.method_facts import FOR_EARLIER_RUNS
from forgetmeter.statistics.paired import Estimate

FACTS = {"l1_unstructured:overall:0.3": 0.8, "l1_unstructured:overall:0.9": 0.1, "dynamic_int8:overall": 0.99}
RATIOS = {"l1_unstructured:overall:0.3": 1.02, "l1_unstructured:overall:0.9": 1e5, "dynamic_int8:overall": 1.01}


def cells(retained: dict[str, float]) -> list[CellSummary]:
    whole = Estimate(0.5, 0.4, 0.6)
    shares = {recipe: Estimate(share, share, share) for recipe, share in retained.items()}
    return [
        CellSummary("org/tiny", "baseline", "bear", 9, whole),
        *(CellSummary("org/tiny", recipe, "bear", 9, whole, retained=share) for recipe, share in shares.items()),
    ]


def test_recipes_that_forget_behind_perplexity_are_named() -> None:
    figure = perplexity_figure(cells(FACTS), RATIOS, FOR_EARLIER_RUNS)
    assert figure is not None
    assert (figure.name, figure.title) == ("perplexity-org-tiny-bear", "org/tiny")
    assert figure.note == (
        "More than 10% forgotten while perplexity rises by less than 10%: both: 30% pruned (× 1.02, 80.0% retained)."
    )
    assert [row[:2] for row in figure.table.rows] == [
        ("both: 8-bit", "1.01"),
        ("both: 30% pruned", "1.02"),
        ("both: 90% pruned", "1e+05"),
    ]
    assert "3 recipes; 1 forget more than 10%" in figure.alternative
    rows = max(figure.chart.to_dict()["datasets"].values(), key=len)
    assert [(row["ratio"], row["hidden"]) for row in rows] == [(1.01, False), (1.02, True), (1e5, False)]


def test_a_fall_is_called_one() -> None:
    figure = perplexity_figure(cells(FACTS), RATIOS | {"l1_unstructured:overall:0.3": 0.7}, FOR_EARLIER_RUNS)
    assert figure is not None
    assert figure.note.startswith("More than 10% forgotten while perplexity rises by less than 10% or falls: both: 30%")


def test_without_such_a_recipe_the_note_says_so() -> None:
    figure = perplexity_figure(cells({"dynamic_int8:overall": 0.99}), RATIOS, FOR_EARLIER_RUNS)
    assert figure is not None
    assert figure.note == "No recipe forgets more than 10% while perplexity rises by less than 10%."


def test_recipes_without_a_finite_perplexity_are_left_out() -> None:
    assert perplexity_figure(cells(FACTS), {"dynamic_int8:overall": math.inf}, FOR_EARLIER_RUNS) is None
    assert perplexity_figure(cells(FACTS), {}, FOR_EARLIER_RUNS) is None


def test_figures_of_several_texts_name_theirs() -> None:
    figure = perplexity_figure(cells(FACTS), RATIOS, FOR_EARLIER_RUNS, text="perplexity:file=news.txt")
    assert figure is not None
    assert figure.title == "org/tiny · perplexity:file=news.txt"
    assert figure.alternative.startswith("Scatter chart of perplexity:file=news.txt against what org/tiny retains")
