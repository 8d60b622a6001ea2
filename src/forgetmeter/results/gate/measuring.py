"""What a gate's checks measure in a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.compared.cell_summary import SIGNIFICANT, CellSummary
from forgetmeter.results.compared.clustered import accuracy_interval
from forgetmeter.results.compared.group_average import GroupAverage
from forgetmeter.results.compared.measured import MeasuredSummary
from forgetmeter.results.gate.check import GateCheck, Measured
from forgetmeter.results.sizes import variant_bytes
from forgetmeter.results.summary import Summary, summarise
from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.run import Run
from forgetmeter.specs.condition import Quantity
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.guessing import ChanceTest
from forgetmeter.statistics.paired import CONFIDENCE, Estimate, accuracy, compare_paired, mean_of

_Cell = TypeVar("_Cell", CellSummary, MeasuredSummary)


class NotMeasured(Exception):  # noqa: N818 - not an error
    """Why a check cannot be measured."""


class Measuring:
    """Measures checks in a run.

    Args:
        run: The run.
        summary: Its summary, with 95% intervals.
        checks: Number of checks, over which the wide intervals hold together (Bonferroni).
    """

    def __init__(self, run: Run, summary: Summary, *, checks: int) -> None:
        self._run, self.summary = run, summary
        self._wide_confidence = 1 - (1 - CONFIDENCE) / checks
        self._wide = summary if checks == 1 else summarise(run, confidence=self._wide_confidence)
        self._answers = {(each.model, each.task): each for each in run.answers}
        self._failed = {(each.model, each.recipe, each.task): each.error for each in run.failures}

    def measure(self, check: GateCheck) -> Measured:
        """Return what a check observes.

        Raises:
            NotMeasured: Too little is known.
        """
        if check.condition.quantity == "size":
            return self._size(check)
        if check.condition.is_of_texts:
            return self._divergence(check)
        for task in check.tasks:
            self._refuse_missing(check, task)
        if check.condition.quantity != "accuracy":
            self._refuse_guessing(check)
        if check.relation is not None:
            return self._in_relation(check, check.relation)
        if len(check.tasks) > 1:
            return self._mean(check)
        return self._on_task(check, check.tasks[0])

    def _size(self, check: GateCheck) -> Measured:
        size = variant_bytes(check.model, check.recipe, self.summary)
        if size is None:
            raise NotMeasured("its size is not known")
        exact = Estimate(size, size, size)
        return Measured(exact, exact)

    def _divergence(self, check: GateCheck) -> Measured:
        (task,) = check.tasks
        metric, found = check.condition.metric, []
        for summary in (self.summary, self._wide):
            cell: MeasuredSummary | None = _find(summary.measured, check, check.recipe, task)
            if cell is None:
                raise NotMeasured(self._missing(check, check.recipe, task))
            if metric not in cell.intervals:
                raise NotMeasured("too few texts for an interval")
            found.append(cell.intervals[metric])
        assert cell is not None
        return Measured(found[0], found[1], self._wide_confidence, cell.items)

    def _refuse_missing(self, check: GateCheck, task: str) -> None:
        is_alone = check.condition.quantity == "accuracy"
        for recipe in (check.recipe,) if is_alone else (BASELINE, check.recipe):
            if _find(self.summary.cells, check, recipe, task) is None:
                raise NotMeasured(self._missing(check, recipe, task))
        cell = self._cell(self.summary, check, check.recipe, task)
        if cell.precision is not None and (is_alone or check.relation is not None):
            raise NotMeasured("it stopped early (--precision); run it without --precision to ask the other items")
        if not is_alone and not cell.paired:
            raise NotMeasured("it has no items in common with the baseline")

    def _missing(self, check: GateCheck, recipe: str, task: str) -> str:
        who = "the baseline" if recipe == BASELINE else "it"
        on = "" if task == check.task else f" on {task}"
        error = self._failed.get((check.model, recipe, task))
        return f"{who} has no answers{on}" if error is None else f"{who} failed{on}: {' '.join(error.split())}"

    def _refuse_guessing(self, check: GateCheck) -> None:
        """Raise if the baseline is not better than guessing, so that nothing can be lost."""
        if check.relation is not None:
            answers = self._answers[check.model, check.tasks[0]]
            asked = answers.answered[answers.baseline] & (answers.relation == answers.relations.index(check.relation))
            right, chance = answers.known[asked], answers.baselines.chance[asked]
            is_guessing = bool(len(chance)) and not np.isnan(chance).any() and _is_guessing(right, chance)
            if is_guessing or not right.any():
                raise NotMeasured(f"the baseline is not better than guessing ({right.sum()} of {len(right)} right)")
            return
        baselines = [self._cell(self.summary, check, BASELINE, task) for task in check.tasks]
        known = mean_of([cell.accuracy for cell in baselines])
        chances = [cell.chance for cell in baselines if cell.chance is not None]
        chance = float(np.mean(chances)) if len(chances) == len(baselines) else None
        is_guessing = baselines[0].is_guessing if len(baselines) == 1 else chance is not None and known.low <= chance
        if is_guessing or not any(cell.right for cell in baselines):
            than = "" if chance is None else f", and guessing {100 * chance:.1f}%"
            raise NotMeasured(f"the baseline is not better than guessing ({100 * known.value:.1f}% right{than})")

    def _on_task(self, check: GateCheck, task: str) -> Measured:
        cell = self._cell(self.summary, check, check.recipe, task)
        limit = check.condition.limit
        if check.condition.quantity == "drop" and isinstance(limit, float) and (cell.noise_floor or 0.0) > limit:
            raise NotMeasured(
                f"scoring the baseline twice changes {100 * (cell.noise_floor or 0.0):.1f}% of the answers, more than "
                "the margin"
            )
        estimates = self._of_task(check, task)
        if check.condition.quantity == "accuracy":
            return Measured(*estimates, self._wide_confidence, cell.items)
        return Measured(*estimates, self._wide_confidence, cell.paired, cell.relations)

    def _of_task(self, check: GateCheck, task: str) -> tuple[Estimate, Estimate]:
        quantity = check.condition.quantity
        if quantity == "accuracy":
            answers = self._answers[check.model, task]
            row = answers.recipes.index(check.recipe)
            asked = answers.answered[row]
            return self._both(lambda confidence: accuracy_interval(answers, row, asked, confidence=confidence))
        found = [_quantity(self._cell(summary, check, check.recipe, task), quantity) for summary in self._summaries]
        return found[0], found[1]

    def _mean(self, check: GateCheck) -> Measured:
        groups = [_find_group(summary.groups, check) for summary in self._summaries]
        if check.task is None:
            of_tasks = [self._of_task(check, task) for task in check.tasks]
            estimates = [mean_of([each[place] for each in of_tasks]) for place in (0, 1)]
        elif groups[0] is None or groups[1] is None:
            raise NotMeasured(f"the average of {check.task} is not defined for these answers")
        else:
            estimates = [_quantity(group, check.condition.quantity) for group in groups if group is not None]
        items = sum(self._cell(self.summary, check, check.recipe, task).items for task in check.tasks)
        return Measured(estimates[0], estimates[1], self._wide_confidence, items)

    def _in_relation(self, check: GateCheck, relation: str) -> Measured:
        answers: Answers = self._answers[check.model, check.tasks[0]]
        row = answers.recipes.index(check.recipe)
        is_alone = check.condition.quantity == "accuracy"
        asked = (answers.answered if is_alone else answers.paired)[row]
        asked = asked & (answers.relation == answers.relations.index(relation))
        if not asked.any():
            raise NotMeasured("it has no answers in this relation")
        right, known = answers.correct[row, asked], answers.known[asked]

        def estimate(confidence: float) -> Estimate:
            paired = compare_paired(known, right, confidence=confidence)
            if check.condition.quantity == "drop":
                return paired.drop
            return accuracy(right, confidence=confidence) if is_alone or paired.retained is None else paired.retained

        return Measured(*self._both(estimate), self._wide_confidence, int(asked.sum()))

    def _both(self, estimate: Callable[[float], Estimate]) -> tuple[Estimate, Estimate]:
        return estimate(CONFIDENCE), estimate(self._wide_confidence)

    @property
    def _summaries(self) -> tuple[Summary, Summary]:
        return self.summary, self._wide

    def _cell(self, summary: Summary, check: GateCheck, recipe: str, task: str) -> CellSummary:
        cell = _find(summary.cells, check, recipe, task)
        assert cell is not None
        return cell


def _find(cells: Iterable[_Cell], check: GateCheck, recipe: str, task: str) -> _Cell | None:
    return next((each for each in cells if (each.model, each.recipe, each.task) == (check.model, recipe, task)), None)


def _find_group(groups: Iterable[GroupAverage], check: GateCheck) -> GroupAverage | None:
    key = (check.model, check.recipe, check.task)
    return next((each for each in groups if (each.model, each.recipe, each.group) == key), None)


def _quantity(of: CellSummary | GroupAverage, quantity: Quantity) -> Estimate:
    estimate: Estimate | None = getattr(of, quantity)
    if estimate is None:
        raise NotMeasured(f"{quantity} cannot be computed from these answers")
    return estimate


def _is_guessing(right: NDArray[np.bool_], chances: NDArray[np.float64]) -> bool:
    test = ChanceTest(chances)
    return test.p_value(int(right.sum())) >= SIGNIFICANT or float(right.mean()) <= test.expected
