"""What a gate's checks measure in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from forgetmeter.basics.plural import counted
from forgetmeter.results.compared.cell_summary import SIGNIFICANT, CellSummary
from forgetmeter.results.compared.group_average import GroupAverage
from forgetmeter.results.compared.measured import MeasuredSummary, measured_cells
from forgetmeter.results.compared.stopped import asked_items, stopped_early
from forgetmeter.results.gate.answered import VariantAnswers, estimate, pooled
from forgetmeter.results.gate.check import GateCheck, Measured
from forgetmeter.results.sizes import variant_bytes
from forgetmeter.results.summary import Summary
from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.run import Run
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.correction import joint_confidence
from forgetmeter.statistics.guessing import ChanceTest
from forgetmeter.statistics.paired import CONFIDENCE, Estimate, mean_of
from forgetmeter.statistics.resampling import hull
from forgetmeter.statistics.strict import strict_mean

_CellKey = tuple[str, str, str]


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
        self._confidences = (CONFIDENCE, joint_confidence(checks))
        self._answers = {(each.model, each.task): each for each in run.answers}
        self._cells = {(each.model, each.recipe, each.task): each for each in summary.cells}
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
        self._refuse_shared_questions(check)
        if len(check.tasks) > 1 and any(
            self._cell(check, check.recipe, task).stopped_at_margin for task in check.tasks
        ):
            raise NotMeasured(
                "tasks on which it stopped early (--margin) cannot be averaged; run it without --margin to ask the "
                "other items"
            )
        if check.condition.quantity != "accuracy":
            self._refuse_guessing(check)
            self._refuse_noise(check)
        return self._answered(check)

    def _size(self, check: GateCheck) -> Measured:
        size = variant_bytes(check.model, check.recipe, self.summary)
        if size is None:
            raise NotMeasured("its size is not known")
        exact = Estimate(size, size, size)
        return Measured(exact, exact)

    def _divergence(self, check: GateCheck) -> Measured:
        (task,) = check.tasks
        key, metric = (check.model, check.recipe, task), check.condition.metric
        cells = [cells.get(key) for cells in self._of_texts]
        if cells[0] is None:
            raise NotMeasured(self._missing(check, check.recipe, task))
        found = [cell.intervals[metric] for cell in cells if cell is not None and metric in cell.intervals]
        if len(found) < len(cells):
            broken = cells[0].not_numbers
            raise NotMeasured(
                f"the scores of {counted(broken, 'text')} are NaN or infinite"
                if broken
                else "fewer than five texts, too few for an interval; evaluate more"
            )
        if (check.condition.quantity, check.condition.statistic) == ("divergence", "mean"):
            found = list(map(strict_mean, found))
        return Measured(found[0], found[1], self._confidences[1], cells[0].items)

    @cached_property
    def _of_texts(self) -> tuple[Mapping[_CellKey, MeasuredSummary], ...]:
        """Cells without right answers, with intervals at each confidence."""
        wide = measured_cells(self._run, confidence=self._confidences[1])
        return tuple(
            {(cell.model, cell.recipe, cell.task): cell for cell in cells} for cells in (self.summary.measured, wide)
        )

    def _refuse_missing(self, check: GateCheck, task: str) -> None:
        is_alone = check.condition.quantity == "accuracy"
        for recipe in (check.recipe,) if is_alone else (BASELINE, check.recipe):
            if (check.model, recipe, task) not in self._cells:
                raise NotMeasured(self._missing(check, recipe, task))
        cell = self._cell(check, check.recipe, task)
        if (option := cell.stop_option) and (is_alone or check.relation is not None):
            raise NotMeasured(f"it stopped early ({option}); run it without {option} to ask the other items")
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
            asked = answers.answered[answers.baseline] & _among(answers, check)
            right, chances_of = answers.known[asked], answers.baselines.chance[asked]
            is_defined = bool(len(right)) and not np.isnan(chances_of).any()
            if not right.any() or (is_defined and _is_guessing(right, chances_of)):
                raise NotMeasured(f"the baseline is not better than guessing ({right.sum()} of {len(right)} right)")
            return
        baselines = [self._cell(check, BASELINE, task) for task in check.tasks]
        known = mean_of([cell.accuracy for cell in baselines])
        chances = [cell.chance for cell in baselines if cell.chance is not None]
        chance = float(np.mean(chances)) if len(chances) == len(baselines) else None
        is_guessing = baselines[0].is_guessing if len(baselines) == 1 else chance is not None and known.low <= chance
        if is_guessing or not any(cell.right for cell in baselines):
            than = "" if chance is None else f"; guessing gets {100 * chance:.1f}%"
            raise NotMeasured(f"the baseline is not better than guessing ({100 * known.value:.1f}% right{than})")

    def _refuse_noise(self, check: GateCheck) -> None:
        """Raise if scoring the baseline twice changes more answers than may be lost."""
        limit, quantity = check.condition.limit, check.condition.quantity
        if not isinstance(limit, float):
            return
        cells = [self._cell(check, check.recipe, task) for task in check.tasks]
        floor = float(np.mean([cell.noise_floor or 0.0 for cell in cells]))
        if floor > (limit if quantity == "drop" else 1 - limit):
            noise = next(
                self._run.noise[check.model, task] for task in check.tasks if (check.model, task) in self._run.noise
            )
            raise NotMeasured(f"{noise.what} changes {100 * floor:.1f}% of the answers, more than the limit allows")

    def _answered(self, check: GateCheck) -> Measured:
        quantity = check.condition.quantity
        parts = [self._part(check, task) for task in check.tasks]
        near, wide = (self._estimate(check, parts, confidence) for confidence in self._confidences)
        is_over_relations = len(parts) == 1 and check.relation is None
        return Measured(
            near,
            wide,
            self._confidences[1],
            items=sum(int(of.asked(quantity).sum()) for of in parts),
            relations=parts[0].relations if is_over_relations else None,
            missing=sum(int(of.missing.sum()) for of in parts),
            stopped=self._stopped(check),
        )

    def _stopped(self, check: GateCheck) -> str:
        cells = [self._cell(check, check.recipe, task) for task in check.tasks]
        return next((cell.stop_option for cell in cells if cell.stop_option), "")

    def _refuse_shared_questions(self, check: GateCheck) -> None:
        if check.task is None:
            for task in check.tasks:
                if (other := self._run.study.shares_questions(task, check.tasks)) is not None:
                    raise NotMeasured(
                        f"'{task}' repeats questions of '{other}', which would count twice; "
                        "list the tasks to average, and leave out one of these two"
                    )

    def _part(self, check: GateCheck, task: str) -> VariantAnswers:
        answers = self._answers[check.model, task]
        row = answers.recipes.index(check.recipe)
        asked = None
        if self._cell(check, check.recipe, task).precision is not None:
            asked = asked_items(answers, row, seed=int(self._run.study.settings["seed"]))
        return VariantAnswers(answers, row, _among(answers, check), asked_of=asked)

    def _estimate(self, check: GateCheck, parts: Sequence[VariantAnswers], confidence: float) -> Estimate:
        """Return an estimate whose interval holds whether missing answers are right or wrong."""
        observed = self._of(check, parts, confidence)
        if not any(of.missing.any() for of in parts):
            return observed
        cases = (self._of(check, [of.completed(is_right=each) for of in parts], confidence) for each in (False, True))
        return reduce(hull, cases, observed)

    def _of(self, check: GateCheck, parts: Sequence[VariantAnswers], confidence: float) -> Estimate:
        quantity = check.condition.quantity
        if len(parts) > 1 and check.task is not None:
            group = self._groups.get((check.model, check.recipe, check.task))
            if group is None or getattr(group, quantity) is None:
                raise NotMeasured(f"the average of {check.task} is not defined for these answers")
            if group.is_by_size:
                return pooled(parts, quantity, confidence)
        return mean_of([self._of_task(check, of, confidence) for of in parts])

    def _of_task(self, check: GateCheck, of: VariantAnswers, confidence: float) -> Estimate:
        quantity = check.condition.quantity
        if not of.asked(quantity).any():
            raise NotMeasured(
                "the baseline knew none of the items that it answered"
                if quantity == "retained"
                else "it answered none of these items"
            )
        cell = self._cell(check, check.recipe, of.answers.task)
        if cell.aim is None or quantity == "accuracy" or check.relation is not None:
            return estimate(of, quantity, confidence)
        seed = int(self._run.study.settings["seed"])
        stopped = stopped_early(cell, of.answers, precision=cell.aim, seed=seed, confidence=confidence)
        found: Estimate = getattr(stopped, quantity)
        return found

    @cached_property
    def _groups(self) -> Mapping[_CellKey, GroupAverage]:
        return {(each.model, each.recipe, each.group): each for each in self.summary.groups}

    def _cell(self, check: GateCheck, recipe: str, task: str) -> CellSummary:
        return self._cells[check.model, recipe, task]


def _among(answers: Answers, check: GateCheck) -> NDArray[np.bool_]:
    """Return the items that a check is about, shape ``(items,)``."""
    if check.relation is None:
        return np.ones(len(answers.items), dtype=np.bool_)
    place = answers.relations.index(check.relation) if check.relation in answers.relations else -1
    among: NDArray[np.bool_] = answers.relation == place
    return among


def _is_guessing(right: NDArray[np.bool_], chances: NDArray[np.float64]) -> bool:
    test = ChanceTest(chances)
    return test.p_value(int(right.sum())) >= SIGNIFICANT or float(right.mean()) <= test.expected
