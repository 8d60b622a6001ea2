"""What the items of a planned study can resolve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import mean, median

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.gate.check import POWER
from forgetmeter.results.open_ledgers import find_names
from forgetmeter.results.summary import Summary, TaskSummary
from forgetmeter.specs.condition import Condition
from forgetmeter.statistics.paired import normal_quantile, paired_drop
from forgetmeter.statistics.resampling import FEWEST_CLUSTERS
from forgetmeter.statistics.resolution import Expected, t_quantile

FLIPS = 0.1
"""Share of answers that flip, if no earlier run says otherwise: that of mild compression (docs/results/smollm2.md)."""
CORRELATION = 0.0075
"""Of changes in a relation, if no earlier run says otherwise: a little above those measured
(docs/decisions/042-gate.md); a design effect of 2 at 134 items of each relation."""


@dataclass(frozen=True)
class TaskResolution:
    """What the items of a task can resolve if nothing is lost.

    Attributes:
        items: Number of planned items.
        relations: Number of their relations that intervals are over; 0 for intervals over items.
        expected: How answers are expected to change.
        variants: Number of variants of an earlier run that this is based on; 0 if it is assumed.
        available: Number of items that exist; ``None`` if unknown.
    """

    task: str
    items: int
    relations: int
    expected: Expected
    variants: int
    available: int | None = None

    @property
    def half_width(self) -> float:
        """Half the width of the 95% interval of the drop."""
        return self.expected.half_width(self.items)

    def power(self, margin: float) -> float:
        """Return the probability that a variant that loses nothing passes."""
        return self.expected.power(margin, self.items)

    def needed(self, margin: float) -> int | None:
        """Return the number of items with which a variant that loses nothing passes with a probability of 80%.

        With relations, these stay the same. ``None`` if no realistic number suffices.
        """
        return self.expected.needed(margin, POWER)


def resolutions(
    tasks: Iterable[TaskSummary], *, seen: Summary | None = None, flips: float | None = None
) -> tuple[TaskResolution, ...]:
    """Return what the items of each task can resolve.

    Args:
        tasks: Tasks with right answers, with their planned items.
        seen: Summary of an earlier run: its variants say how many answers flip on each task, and how relations differ.
        flips: Share of answers that flip, instead.
    """
    return tuple(_resolution(task, seen.cells if seen else (), flips) for task in tasks if task.items)


@dataclass(frozen=True)
class PlannedMargin:
    """A margin that the items of a task, or of one of its relations, are to decide.

    Attributes:
        of: The items.
        condition: The condition on the drop.
        margin: Its limit.
    """

    of: TaskResolution
    condition: Condition
    margin: float

    @cached_property
    def power(self) -> float:
        """The probability that a variant that loses nothing passes."""
        return self.of.power(self.margin)

    @cached_property
    def needed(self) -> int | None:
        """See ``TaskResolution.needed``."""
        return self.of.needed(self.margin)

    @property
    def is_decidable(self) -> bool:
        """Whether a variant that loses nothing passes with a probability of at least 80%."""
        return self.power >= POWER

    @property
    def has_enough(self) -> bool:
        """Whether the needed items exist, as far as is known."""
        available = self.of.available
        return self.needed is not None and (available is None or self.needed <= available)


def planned_margins(
    conditions: Iterable[Condition], of_tasks: Sequence[TaskResolution]
) -> tuple[tuple[PlannedMargin, ...], tuple[Condition, ...]]:
    """Return the margins of a policy with the items that are to decide them, and the conditions without a plan.

    Margins on the drop have a plan, for each task or for each relation of average size.

    Raises:
        UserError: A condition names a task that is not planned.
    """
    planned, others = [], []
    for condition in conditions:
        if condition.quantity != "drop" or condition.extent == "all" or not isinstance(condition.limit, float):
            others.append(condition)
            continue
        names = [each.task for each in of_tasks]
        chosen = {
            task for name in condition.tasks or names for task in find_names("task", names, name, within="this study")
        }
        for each in of_tasks:
            if each.task in chosen:
                of = _relation_of(each) if condition.extent == "relation" else each
                planned.append(PlannedMargin(of, condition, condition.limit))
    return tuple(planned), tuple(others)


def _relation_of(of: TaskResolution) -> TaskResolution:
    alone = Expected(of.expected.flips)
    name = f"{of.task}, each relation"
    relations = max(of.relations, 1)
    available = None if of.available is None else of.available // relations
    return replace(of, task=name, items=max(1, of.items // relations), relations=0, expected=alone, available=available)


def _resolution(task: TaskSummary, seen: Sequence[CellSummary], flips: float | None) -> TaskResolution:
    relations = task.relations if task.relations >= FEWEST_CLUSTERS else 0
    whole = [cell for cell in seen if cell.flips is not None and cell.precision is None]
    mine = [cell for cell in whole if cell.task == task.task]
    # Another number of phrasings, say, changes little.
    mine = mine or [cell for cell in whole if cell.task.partition(":")[0] == task.task.partition(":")[0]]
    correlations = [each for cell in mine if (each := correlation(cell)) is not None]
    alike = mean(correlations) if correlations else CORRELATION
    if flips is None and mine:
        flips = median(cell.flips or 0.0 for cell in mine)
    else:
        mine = []
    flips = FLIPS if flips is None else flips
    expected = Expected(flips, alike, relations) if relations else Expected(flips)
    return TaskResolution(task.task, task.items, relations, expected, len(mine), task.available)


def correlation(cell: CellSummary) -> float | None:
    """Return how alike the changes of two items of a relation are (intraclass correlation).

    From the design effect, the variance of the drop over relations divided by that over independent items.

    Returns:
        From 0 to 1; ``None`` without an interval over relations.
    """
    items = cell.paired or cell.items
    if not cell.relations or cell.drop is None or items <= cell.relations:
        return None
    alone = paired_drop(forgotten=cell.forgotten or 0, gained=cell.gained or 0, items=items)
    wider = (cell.drop.high - cell.drop.low) / (alone.high - alone.low)
    effect = (wider * normal_quantile() / t_quantile(cell.relations)) ** 2
    return min(max((effect - 1) / (items / cell.relations - 1), 0.0), 1.0)
