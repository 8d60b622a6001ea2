"""Averages over the tasks of a group, as lm-evaluation-harness defines them, compared with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from forgetmeter.records.task_group import GroupMetric, TaskGroup
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.paired import CONFIDENCE, Estimate, mean_of, paired_drop, proportion


@dataclass(frozen=True)
class GroupAverage:
    """One variant on the tasks of a group.

    Intervals are over items, with the tasks as they are: they say nothing of other tasks.

    Attributes:
        group: The group's name.
        tasks: Number of tasks.
        items: Number of items of all tasks.
        metric: The tasks' main metric, which is averaged.
        is_by_size: Whether tasks are weighted by their number of items, instead of all equally.
        accuracy: Average share of right answers.
        drop: Average of the baseline minus that of the variant, on the same items; ``None`` for the baseline.
        retained: Average share of the baseline's right answers that are still right; ``None`` if it was scored on other
            items, too.
        gained: Number of items that the baseline got wrong and the variant gets right.
    """

    model: str
    recipe: str
    group: str
    tasks: int
    items: int
    metric: str
    is_by_size: bool
    accuracy: Estimate
    drop: Estimate | None = None
    retained: Estimate | None = None
    gained: int | None = None


def group_averages(
    groups: Sequence[TaskGroup],
    cells: Sequence[CellSummary],
    judged: Mapping[str, tuple[str, str]],
    *,
    confidence: float = CONFIDENCE,
) -> tuple[GroupAverage, ...]:
    """Return the averages of all variants with outcomes on every task of a group, by group and in the study's order.

    Args:
        groups: Those whose tasks are not judged by a metric that they average are left out.
        cells: Cells of tasks with right answers.
        judged: The main metric of each task and the filter of its written answers, if it has one.
        confidence: Confidence level of the intervals, and of those of the cells.
    """
    by_variant: dict[tuple[str, str], dict[str, CellSummary]] = {}
    for cell in cells:
        by_variant.setdefault((cell.model, cell.recipe), {})[cell.task] = cell
    # Over part of the tasks, or of their items, it would be an average of something else.
    return tuple(
        _average(group, metric, [done[task] for task in group.tasks], by_variant.get((model, BASELINE), {}), confidence)
        for group in groups
        if (metric := group.metric_of([judged.get(task, ("", "")) for task in group.tasks])) is not None
        for (model, _), done in by_variant.items()
        if all(task in done and done[task].precision is None for task in group.tasks)
    )


def _average(
    group: TaskGroup,
    metric: GroupMetric,
    cells: Sequence[CellSummary],
    baseline: Mapping[str, CellSummary],
    confidence: float,
) -> GroupAverage:
    items = sum(cell.items for cell in cells)
    right = sum(cell.right for cell in cells)
    pooled = proportion(right, items, confidence=confidence)
    alone = GroupAverage(
        model=cells[0].model,
        recipe=cells[0].recipe,
        group=group.name,
        tasks=len(cells),
        items=items,
        metric=metric.name,
        is_by_size=metric.is_by_size,
        accuracy=pooled if metric.is_by_size else mean_of([cell.accuracy for cell in cells]),
    )
    drops = [cell.drop for cell in cells if cell.drop is not None]
    if len(drops) < len(cells):
        return alone
    forgotten, gained = sum(cell.forgotten or 0 for cell in cells), sum(cell.gained or 0 for cell in cells)
    paired = sum(cell.paired or 0 for cell in cells)
    known = sum(baseline[cell.task].right for cell in cells)
    is_whole = all(cell.paired == baseline[cell.task].items for cell in cells)
    drop = paired_drop(forgotten=forgotten, gained=gained, items=paired, confidence=confidence)
    retained = proportion(known - forgotten, known, confidence=confidence) if known else None
    if not metric.is_by_size:
        shares = [cell.retained for cell in cells if cell.retained is not None]
        drop, retained = mean_of(drops), mean_of(shares) if len(shares) == len(cells) else None
    return replace(
        alone,
        drop=drop,
        retained=retained if is_whole else None,
        gained=gained,
    )
