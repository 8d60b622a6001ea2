"""Charts of size and speed against what is retained.

Covers ``report.words.size_words``.
"""

from __future__ import annotations

from forgetmeter.report.figures.frontier_figure import frontier_figure, shown_measures
from forgetmeter.results.frontier import Frontier, FrontierPoint, Measure
from forgetmeter.specs.method_facts import FOR_EARLIER_RUNS
from forgetmeter.statistics.paired import Estimate

SPEED: Measure = "tokens_per_second"
HALF, MOST, INT8 = "l1_unstructured:overall:0.5", "l1_unstructured:overall:0.9", "dynamic_int8:overall"


def point(
    recipe: str, retained: float, size: float, speed: float | None, *pareto: Measure, simulated: bool = False
) -> FrontierPoint:
    costs: dict[Measure, float] = {"smallest_bytes": size} | ({} if speed is None else {SPEED: speed})
    return FrontierPoint(recipe, Estimate(retained, retained, retained), costs, simulated, pareto)


FRONTIER = Frontier(
    "org/tiny",
    "piqa",
    (
        point("baseline", 1.0, 80e6, 100, SPEED),
        point(HALF, 0.9, 60e6, 1500, SPEED),
        point(MOST, 0.5, 70e6, 120),
        point(INT8, 1.0, 20e6, None, "smallest_bytes", simulated=True),
    ),
)


def test_the_smallest_size_and_a_measured_speed_are_drawn() -> None:
    assert shown_measures(FRONTIER) == ("smallest_bytes", SPEED)
    alone = Frontier("m", "t", (FRONTIER.points[0], FRONTIER.points[3]))
    assert shown_measures(alone) == ("smallest_bytes",)


def test_sizes_are_named_from_small_to_large() -> None:
    figure = frontier_figure(FRONTIER, "smallest_bytes", FOR_EARLIER_RUNS)
    assert (figure.name, figure.title) == ("frontier-smallest-org-tiny-piqa", "org/tiny: smallest size")
    assert figure.note == "Pareto-optimal, from small to large: 1 both: 8-bit."
    assert [row[0] for row in figure.table.rows] == ["1", "", "", ""]


def test_speeds_are_named_from_fast_to_slow_without_simulated_ones() -> None:
    figure = frontier_figure(FRONTIER, SPEED, FOR_EARLIER_RUNS)
    assert (figure.name, figure.title) == ("frontier-speed-org-tiny-piqa", "org/tiny: speed")
    assert figure.note == "Pareto-optimal, from fast to slow: 1 both: 50% pruned · 2 baseline."
    assert [(row[0], row[-1]) for row in figure.table.rows] == [("1", "1,500"), ("2", "100"), ("", "120")]
    assert "2 of 3 variants" in figure.alternative


def test_every_point_has_a_text() -> None:
    rows = next(iter(frontier_figure(FRONTIER, SPEED, FOR_EARLIER_RUNS).chart.to_dict()["datasets"].values()))
    assert rows[1]["text"] == "both: 50% pruned: 1,500 tokens/s, 90.0% retained"
    assert [row["cost"] for row in rows] == [100, 1500, 120]
