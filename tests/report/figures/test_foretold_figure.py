"""Charts of how well cheap numbers rank variants."""

from __future__ import annotations

from dataclasses import replace

from forgetmeter.report.figures.foretold_figure import foretold_figure
from forgetmeter.results.foretelling import Foretold
from forgetmeter.statistics.paired import Estimate

KL = Foretold("org/tiny", "facts", "mean KL", "divergence", 9, Estimate(0.96, 0.9, 0.98), Estimate(0.8, 0.5, 0.9))
SIZE = Foretold("org/tiny", "facts", "size", "", 9, Estimate(-0.2, -0.5, 0.2), None)
OWN = Foretold("org/tiny", "facts", "accuracy drop", "facts", 9, Estimate(0.99, 0.98, 1.0), None)


def test_each_number_has_a_row_and_its_intervals() -> None:
    figure = foretold_figure([OWN, KL, SIZE])
    assert figure is not None
    assert (figure.name, figure.title, figure.note) == ("foretold-org-tiny-facts", "org/tiny", "")
    assert figure.table.rows[1:] == (
        ("mean KL (divergence)", "9", "0.96 [0.90, 0.98]", "0.80 [0.50, 0.90]"),
        ("size", "9", "-0.20 [-0.50, 0.20]", "—"),
    )
    assert "the best is accuracy drop (facts), with a rank correlation of 0.99" in figure.alternative
    rows = max(figure.chart.to_dict()["datasets"].values(), key=len)
    assert [(row["number"], row["way"], row["value"]) for row in rows] == [
        ("accuracy drop (facts)", "all variants", 0.99),
        ("mean KL (divergence)", "all variants", 0.96),
        ("mean KL (divergence)", "at equal size", 0.8),
        ("size", "all variants", -0.2),
    ]


def test_without_a_number_of_another_task_there_is_nothing_to_foretell() -> None:
    assert foretold_figure([OWN, SIZE]) is None
    assert foretold_figure([]) is None
    assert foretold_figure([OWN, replace(KL, correlation=None)]) is None


def test_only_the_best_numbers_are_drawn() -> None:
    figure = foretold_figure([replace(KL, number=f"number {place}") for place in range(15)])
    assert figure is not None
    assert (len(figure.table.rows), figure.note) == (12, "The best 12 of 15 numbers.")
