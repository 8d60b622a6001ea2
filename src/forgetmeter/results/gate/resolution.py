"""What the items of a planned study can resolve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.gate.check import POWER
from forgetmeter.results.open_ledgers import find_names
from forgetmeter.results.summary import TaskSummary
from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.run import Run
from forgetmeter.specs.condition import Condition
from forgetmeter.statistics.resampling import FEWEST_CLUSTERS
from forgetmeter.statistics.resolution import Expected, seen_correlation

FLIPS = 0.1
"""Share of answers that flip, if no earlier run says otherwise: that of mild compression (docs/results/smollm2.md)."""
CORRELATION = 0.0125
"""Of changes in a relation, if no earlier run says otherwise: twice those measured
(docs/decisions/042-gate.md), as a plan should rather ask too much; a design effect of 2 at 80 items of each."""


@dataclass(frozen=True)
class TaskResolution:
    """What the items of a task can resolve if nothing is lost.

    Attributes:
        parts: Number of planned items of each part that has an interval of its own: the whole task, or each relation.
        expected: How answers of a part are expected to change.
        variants: Number of variants of an earlier run that this is based on; 0 if it is assumed.
        available: Number of items that exist; ``None`` if unknown.
        sizes: Number of planned items of each relation.
    """

    task: str
    parts: tuple[int, ...]
    expected: Expected
    variants: int
    available: int | None = None
    sizes: tuple[int, ...] = ()

    @property
    def items(self) -> int:
        """Number of planned items."""
        return sum(self.parts)

    @property
    def half_width(self) -> float:
        """Half the width of the 95% interval of the drop, of the smallest part."""
        return self.expected.half_width(min(self.parts))

    def power(self, margin: float) -> float:
        """Return the probability that a variant that loses nothing passes, in all parts."""
        return math.prod(self.expected.power(margin, items) for items in self.parts)

    def needed(self, margin: float, power: float) -> int | None:
        """Return the number of items with which a variant that loses nothing passes with a probability.

        Relations stay the same; those with an interval of their own get equally many items. ``None`` if no realistic
        number suffices.
        """
        each = self.expected.needed(margin, power ** (1 / len(self.parts)))
        return None if each is None else each * len(self.parts)


def resolutions(
    tasks: Iterable[TaskSummary], *, seen: Run | None = None, flips: float | None = None
) -> tuple[TaskResolution, ...]:
    """Return what the items of each task can resolve.

    Args:
        tasks: Tasks with right answers, with their planned items.
        seen: An earlier run: its variants say how many answers flip on each task, and how relations differ.
        flips: Share of answers that flip, instead.
    """
    earlier = seen.answers if seen else ()
    return tuple(_resolution(task, earlier, flips) for task in tasks if task.items)


@dataclass(frozen=True)
class PlannedMargin:
    """A margin that the items of a task, or of one of its relations, are to decide.

    Attributes:
        of: The items.
        condition: The condition on the drop.
        margin: Its limit.
        goal: Probability with which a variant that loses nothing should pass: over all margins together, 80%.
    """

    of: TaskResolution
    condition: Condition
    margin: float
    goal: float = POWER

    @cached_property
    def power(self) -> float:
        """The probability that a variant that loses nothing passes."""
        return self.of.power(self.margin)

    @cached_property
    def needed(self) -> int | None:
        """The number of items with which it passes with the probability ``goal``; see ``TaskResolution.needed``."""
        return self.of.needed(self.margin, self.goal)

    @property
    def has_enough(self) -> bool:
        """Whether the needed items exist, as far as is known."""
        available = self.of.available
        return self.needed is not None and (available is None or self.needed <= available)


def planned_margins(
    conditions: Iterable[Condition], of_tasks: Sequence[TaskResolution]
) -> tuple[tuple[PlannedMargin, ...], tuple[Condition, ...]]:
    """Return the margins of a policy with the items that are to decide them, and the conditions without a plan.

    Margins on the drop have a plan, for each task or for all of its relations.

    Raises:
        UserError: A condition names a task that is not planned.
    """
    planned, others = [], []
    for condition in conditions:
        if condition.quantity != "drop" or not isinstance(condition.limit, float):
            others.append(condition)
            continue
        names = [each.task for each in of_tasks]
        chosen = {
            task for name in condition.tasks or names for task in find_names("task", names, name, within="this study")
        }
        if condition.extent == "all" and len(chosen) > 1:
            others.append(condition)
            continue
        for each in of_tasks:
            if each.task in chosen:
                of = _relations_of(each) if condition.extent == "relation" else each
                planned.append(PlannedMargin(of, condition, condition.limit))
    goal = POWER ** (1 / max(len(planned), 1))
    return tuple(replace(each, goal=goal) for each in planned), tuple(others)


def joint_power(margins: Iterable[PlannedMargin]) -> float:
    """Return the probability that a variant that loses nothing passes all margins, as if they were independent."""
    return math.prod(each.power for each in margins)


def _relations_of(of: TaskResolution) -> TaskResolution:
    return replace(
        of, task=f"{of.task}, each relation", parts=of.sizes or of.parts, expected=Expected(of.expected.flips)
    )


def _resolution(task: TaskSummary, seen: Sequence[Answers], flips: float | None) -> TaskResolution:
    mine = [each for each in seen if each.task == task.task]
    # Another number of phrasings, say, changes little.
    mine = mine or [each for each in seen if each.task.partition(":")[0] == task.task.partition(":")[0]]
    changes = [(each, paired_changes(each)) for each in mine]
    shares = [float(share) for _, all_of in changes for share in np.nanmean(np.abs(all_of), axis=1)]
    variants = len(shares) if flips is None else 0
    if flips is None:
        flips = float(np.median(shares)) if shares else FLIPS
    expected = Expected(flips)
    if task.relations >= FEWEST_CLUSTERS:
        found = [seen_correlation(all_of, each.relation) for each, all_of in changes]
        seen_of = [each for each in found if each is not None]
        expected = Expected(flips, CORRELATION, task.sizes)
        if seen_of:
            alike = float(np.mean([each.shrunk(CORRELATION) for each in seen_of]))
            doubt = float(np.mean([each.doubt(CORRELATION) for each in seen_of]))
            expected = replace(expected, correlation=alike, doubt=doubt)
    return TaskResolution(task.task, (task.items,), expected, variants, task.available, task.sizes)


def paired_changes(answers: Answers) -> NDArray[np.float64]:
    """Return per variant and item 1 if it was lost and -1 if it was gained, as ``seen_correlation`` takes it."""
    rows = [row for row, paired in enumerate(answers.paired) if row != answers.baseline and paired.any()]
    changed = answers.known.astype(np.float64) - answers.correct[rows]
    return np.where(answers.paired[rows], changed, np.nan)
