"""Evidence that findings are tested on: outcomes and summaries of a model's variants, task by task."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from forgetmeter.probes.registry import counted_things
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.measured import MeasuredSummary, perplexity_names
from forgetmeter.results.retained_draws import RetainedDraws, retained_draws
from forgetmeter.results.summary import Summary
from forgetmeter.results.treatments import Treatment, treatments
from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.run import Run
from forgetmeter.specs.method_facts import Methods
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.resampling import RESAMPLES, cluster_weights

FEWEST_KNOWN = 20
"""With fewer items that the baseline gets right, the retained share says too little."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence of one model on one task.

    Attributes:
        answers: Outcomes, item by item.
        cells: Cell summaries, by recipe.
        removed: Removed weights by recipe, if counted.
        perplexity: Perplexity of the model under each recipe, from another task of the run; empty if there is none.
        text: Name of that task.
        repeats: An earlier task that has many of its questions; ``None`` if there is none.
    """

    answers: Answers
    cells: Mapping[str, CellSummary]
    removed: Mapping[str, int]
    perplexity: Mapping[str, float]
    text: str
    methods: Methods
    repeats: str | None = None

    @property
    def task(self) -> str:
        """The task."""
        return self.answers.task

    @cached_property
    def treatments(self) -> tuple[Treatment, ...]:
        """The task's recipes of one step."""
        return treatments(self.answers.recipes, self.methods)

    @property
    def pruned(self) -> list[Treatment]:
        """The treatments that prune."""
        return [each for each in self.treatments if each.facts.prunes]

    @property
    def quantized(self) -> list[Treatment]:
        """The treatments that store fewer bits."""
        return [each for each in self.treatments if each.facts.quantizes]

    @cached_property
    def draws(self) -> RetainedDraws:
        """Draws of what variants retain; those of different tasks are independent."""
        return retained_draws(self.answers, seed=self.seed)

    @cached_property
    def unusable(self) -> str:
        """Why nothing can be tested; empty if something can."""
        if self.repeats is not None:
            return f"it repeats questions of {self.repeats}, which would count twice"
        if any(cell.stopped_at_margin for cell in self.cells.values()):
            return "variants stopped early (--margin), so drops are known to be above or below it, but not their sizes"
        return ""

    @cached_property
    def problem(self) -> str:
        """Why retained shares cannot be tested; empty if they can."""
        baseline = self.cells.get(BASELINE)
        if self.unusable:
            return self.unusable
        if baseline is None or self.answers.baseline is None:
            return "the baseline has no outcomes"
        known = int(self.answers.known.sum())
        if known < FEWEST_KNOWN:
            return (
                f"the baseline gets only {counted_things(self.task, known)} right; a test needs at least {FEWEST_KNOWN}"
            )
        return "the baseline itself is not significantly better than guessing" if baseline.is_guessing else ""

    def mean_draws(self, values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], int | None]:
        """Return the mean of one value per item, its draws, and the number of resampled relations.

        Without enough relations, the draws come from the normal distribution of the mean of the items. All draws get
        noise as large as the change of a single item, so that a few items that happen to be alike do not look certain.

        Args:
            values: Shape ``(items,)``; items with NaN are left out.
        """
        sound = np.isfinite(values)
        kept, clusters = values[sound], self.answers.clusters(sound)
        random = np.random.default_rng(self.seed)
        single = random.normal(0.0, 1 / len(kept), RESAMPLES)
        if clusters is None:
            deviation = float(kept.std(ddof=1)) / np.sqrt(len(kept)) if len(kept) > 1 else 0.0
            return float(kept.mean()), random.normal(float(kept.mean()), deviation, RESAMPLES) + single, None
        weights = cluster_weights(clusters.number, seed=self.seed)
        sums, sizes = np.bincount(clusters.place, kept), np.bincount(clusters.place)
        return float(kept.mean()), (weights @ sums) / (weights @ sizes) + single, clusters.relations

    @property
    def seed(self) -> int:
        """Seed of the task's resamples."""
        return zlib.crc32(self.task.encode())


@dataclass(frozen=True, eq=False)
class ModelEvidence:
    """Evidence of one model on all tasks."""

    model: str
    tasks: tuple[Evidence, ...]


def gather(run: Run, summary: Summary) -> tuple[ModelEvidence, ...]:
    """Return the evidence of each model that has outcomes, in the study's order."""
    models = dict.fromkeys(answers.model for answers in run.answers)
    repeats = {task: run.study.shares_questions(task, run.task_names) for task in run.task_names}
    return tuple(_of_model(model, run.answers, summary, repeats) for model in models)


def _of_model(
    model: str, answers: Sequence[Answers], summary: Summary, repeats: Mapping[str, str | None]
) -> ModelEvidence:
    cells = [cell for cell in summary.cells if cell.model == model]
    removed = {
        each.recipe: each.removed_weights
        for each in summary.variants
        if each.model == model and each.removed_weights is not None
    }
    measured = [cell for cell in summary.measured if cell.model == model]
    text, perplexity = _perplexity([*measured, *cells])
    return ModelEvidence(
        model,
        tuple(
            Evidence(
                each,
                {cell.recipe: cell for cell in cells if cell.task == each.task},
                removed,
                perplexity,
                text,
                summary.methods,
                repeats.get(each.task),
            )
            for each in answers
            if each.model == model
        ),
    )


def _perplexity(cells: Sequence[CellSummary | MeasuredSummary]) -> tuple[str, Mapping[str, float]]:
    """Return the first task that has a perplexity, and its perplexity by recipe, infinite for a ruined model.

    Of a task with several, it is the first that it declares, which charts use too.
    """
    found: dict[tuple[str, str], dict[str, float]] = {}
    for cell in cells:
        for name in perplexity_names(cell.task, cell.metrics):
            if not np.isnan(value := cell.metrics.get(name, np.nan)):
                found.setdefault((cell.task, name), {})[cell.recipe] = value
    finite = ((task, each) for (task, _), each in found.items() if np.isfinite(each.get(BASELINE, np.inf)))
    return next(finite, ("", {}))
