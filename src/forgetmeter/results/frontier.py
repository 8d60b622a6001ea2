"""Pareto frontiers of variants: cost against retained knowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from forgetmeter.records.packed_source import PackedSource
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.summary import Summary, VariantSummary
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.paired import Estimate

Measure = Literal["dense_bytes", "bitmask_bytes", "quantized_bytes", "smallest_bytes", "tokens_per_second"]
MEASURES: tuple[Measure, ...] = (
    "dense_bytes",
    "bitmask_bytes",
    "quantized_bytes",
    "smallest_bytes",
    "tokens_per_second",
)
SPEED: Measure = "tokens_per_second"


@dataclass(frozen=True)
class FrontierPoint:
    """One variant on one task.

    Attributes:
        retained: Share of the known items that are still right, with its 95% interval; 1 for the baseline.
        costs: The known values of ``MEASURES``: sizes in bytes, and, unless the variant was simulated, the tokens per
            second at which the task was scored.
        simulated: Whether it was computed in floating point, which makes its speed meaningless.
        pareto: The measures by which no other variant beats it: at least as good in measure and retained, and better
            in one of them.
        items: Number of items of which the retained ones are a share, known or not; ``None`` if unknown.
    """

    recipe: str
    retained: Estimate
    costs: Mapping[Measure, float]
    simulated: bool
    pareto: tuple[Measure, ...]
    items: int | None = None


@dataclass(frozen=True)
class Frontier:
    """The variants of a model on a task.

    Attributes:
        points: In the study's order, including the baseline.
        source: Both sizes of a packed model; sizes of variants are of the numbers it is read as.
    """

    model: str
    task: str
    points: tuple[FrontierPoint, ...]
    source: PackedSource | None = None

    def pareto_set(self, measure: Measure) -> tuple[str, ...]:
        """Return the recipes that no other beats by a measure, in the study's order."""
        return tuple(point.recipe for point in self.points if measure in point.pareto)


def frontiers(summary: Summary) -> tuple[Frontier, ...]:
    """Return the frontier of each model and task, over the variants with a retained share."""
    variants = {(each.model, each.recipe): each for each in summary.variants}
    found = []
    for model, task in dict.fromkeys((cell.model, cell.task) for cell in summary.cells):
        cells = [cell for cell in summary.cells if (cell.model, cell.task) == (model, task)]
        points = _marked(
            [
                _point(cell, retained, variants.get((model, cell.recipe)))
                for cell in cells
                if (retained := cell.retained_estimate) is not None
            ]
        )
        if any(cell.recipe == BASELINE and cell.right for cell in cells):
            found.append(Frontier(model, task, tuple(points), summary.study.sources.get(model)))
    return tuple(found)


def _point(cell: CellSummary, retained: Estimate, variant: VariantSummary | None) -> FrontierPoint:
    is_simulated = bool(variant and variant.simulated)
    costs: dict[Measure, float | None] = {
        "dense_bytes": variant.dense_bytes if variant else None,
        "bitmask_bytes": variant.bitmask_bytes if variant else None,
        "quantized_bytes": variant.quantized_bytes if variant else None,
        "smallest_bytes": variant.smallest_bytes if variant else None,
        # A simulation is slower or faster than what it simulates, and part of a computation faster than all of it.
        "tokens_per_second": (
            None
            if is_simulated or not cell.is_timed or not (cell.tokens and cell.seconds)
            else cell.tokens / cell.seconds
        ),
    }
    known = {measure: float(value) for measure, value in costs.items() if value is not None}
    items = cell.items if cell.paired is None else cell.paired
    return FrontierPoint(cell.recipe, retained, known, is_simulated, (), items)


def _marked(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    return [
        replace(
            point,
            pareto=tuple(
                measure for measure in MEASURES if measure in point.costs and not _is_beaten(point, points, measure)
            ),
        )
        for point in points
    ]


def cost_of(point: FrontierPoint, measure: Measure) -> float:
    """Return a variant's cost by a known measure, lower is better: speed is negated."""
    return -point.costs[measure] if measure == SPEED else point.costs[measure]


def _is_beaten(point: FrontierPoint, points: Sequence[FrontierPoint], measure: Measure) -> bool:
    mine = (cost_of(point, measure), -point.retained.value)
    for other in points:
        if measure in other.costs:
            theirs = (cost_of(other, measure), -other.retained.value)
            if theirs != mine and theirs[0] <= mine[0] and theirs[1] <= mine[1]:
                return True
    return False
