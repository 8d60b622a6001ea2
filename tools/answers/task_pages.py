"""Q1: facts against benchmarks of reasoning and common sense, on one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from claims import judged
from evidence import FACTS, Subject
from numpy.typing import NDArray
from recipes import BITS
from text import LEGEND_WITH_ITEMS, Page, claims_table, paragraph, points, stacked, table

from forgetmeter.basics.plural import joined
from forgetmeter.results.findings.effect import Effect
from forgetmeter.results.findings.evidence import Evidence
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.resampling import cluster_weights, expanded_interval

_FEW = 10
_LEVELS = (0.2, 0.3, 0.4, 0.5)
_PRUNED = tuple(f"l1_unstructured:overall:{level}" for level in _LEVELS)
_SHOWN = {
    **{f"pruned {level:.0%}": (recipe,) for level, recipe in zip(_LEVELS, _PRUNED, strict=True)},
    **{f"{bits} bits": (BITS["plain, groups of 32"].format(bits=bits),) for bits in (4, 3)},
}
_COMPARED = {"pruned": _PRUNED, "4 and 3 bits": (*_SHOWN["4 bits"], *_SHOWN["3 bits"])}


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A task of one model, with draws of its accuracy above chance."""

    subject: Subject

    @property
    def evidence(self) -> Evidence:
        """Its outcomes."""
        return self.subject.evidence

    @property
    def name(self) -> str:
        """The task's name, without options."""
        return self.evidence.task.partition(":")[0]

    @property
    def tells_nothing(self) -> bool:
        """Whether the original is no better than guessing, or than always giving the same answer."""
        cell = self.evidence.cells[BASELINE]
        # Choices that are other texts in each item have no most frequent answer, only a most frequent position.
        has_same_answers = len(set(self.subject.gold)) < _FEW or bool(self.evidence.answers.relations)
        return cell.is_guessing or (has_same_answers and (cell.majority_accuracy or 0.0) >= cell.accuracy.value)

    @cached_property
    def _drawn(self) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Accuracy above chance under each recipe, as measured and of each resample, and the number of clusters.

        Clusters are relations if there are enough, else items; recipes are in columns.
        """
        answers = self.evidence.answers
        above = answers.correct - answers.baselines.chance
        found = answers.clusters()
        place = np.arange(len(answers.items)) if found is None else found.place
        sums = np.stack([np.bincount(place, row) for row in above])
        weights = cluster_weights(sums.shape[1], seed=self.evidence.seed)
        draws = (weights @ sums.T) / (weights @ np.bincount(place))[:, None]
        return above.mean(axis=1), draws, sums.shape[1]

    def kept(self, recipes: Sequence[str]) -> Effect | None:
        """Return the share of the accuracy above chance that is kept, the mean over recipes; ``None`` without one."""
        answers = self.evidence.answers
        if self.tells_nothing or answers.baseline is None or not set(recipes) <= set(answers.recipes):
            return None
        places = [answers.recipes.index(recipe) for recipe in recipes]
        value, draws, clusters = self._drawn
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = draws[:, places].mean(axis=1) / draws[:, answers.baseline]
        return Effect(float(value[places].mean() / value[answers.baseline]), shares, clusters, tuple(recipes))

    def first_loss(self) -> str:
        """Return the lowest level of pruning both parts at which the run's drop of accuracy is significant."""
        lost = [level for level, recipe in zip(_LEVELS, _PRUNED, strict=True) if self._is_lost(recipe)]
        return f"{lost[0]:.0%}" if lost else "none"

    def _is_lost(self, recipe: str) -> bool:
        cell = self.evidence.cells.get(recipe)
        return cell is not None and cell.verdict == "lost"


def tasks(asked: Sequence[Subject]) -> Page:
    """Q1: facts against reasoning and common sense."""
    all_tasks = [Benchmark(each) for each in asked]
    facts = next(each for each in all_tasks if each.evidence.task == FACTS)
    useful = [each for each in all_tasks if not each.tells_nothing]
    useless = [each for each in all_tasks if each.tells_nothing]
    rows = judged(
        {
            each.name: {words: _minus(each.kept(recipes), facts.kept(recipes)) for words, recipes in _COMPARED.items()}
            for each in useful
            if each is not facts
        }
    )
    text = stacked(
        paragraph(
            """A guess is right half of the time on some tasks and hardly ever on others, so tasks are compared by the
            accuracy *above chance*, and how much of the original's is kept: 100% is no loss, 0% is guessing. Where the
            original is no better than guessing, or than always giving the same answer, nothing can be lost, and the
            task tells nothing. Most of SciQ's prompts, and all of BoolQ's, contain a passage with
            the answer; the other tasks ask what the model knows or can infer."""
        ),
        "## Share of the accuracy above chance that is kept, in percent",
        table(
            ["task", "items", "accuracy", "chance", *_SHOWN, "first significant loss"],
            [_row(each) for each in all_tasks],
        ),
        paragraph(
            """*Pruned*: attention and feed-forward together, by magnitude. *Bits*: rounded in groups of 32. *First
            significant loss*: the lowest of the four levels of pruning at which the drop in accuracy is significant,
            after Holm's correction over the run. *Accuracy*: the original's. Intervals are 95%: of the accuracy, over
            items; of what is kept, over relations for facts, else over items."""
        ),
        "## Against the built-in facts, in points",
        paragraph(
            """What a task keeps minus what the built-in facts keep, the mean over the levels (20% to 50%, or the two
            numbers of bits); above zero, facts go first."""
        ),
        claims_table(rows, "task"),
        LEGEND_WITH_ITEMS,
    )
    verdicts = {row[0].sentence: row[list(_COMPARED).index("pruned")].verdict for row in rows}
    more, less, unclear = (
        [name for name, verdict in verdicts.items() if verdict == wanted]
        for wanted in ("supported", "contradicted", "inconclusive")
    )
    parts = [
        f"on {joined(names)}, {words}"
        for words, names in (
            ("more of the accuracy above chance is kept than on the built-in facts", more),
            ("less of it is kept", less),
            ("no difference can be told", unclear),
        )
        if names
    ]
    answer = f"In SmolLM2, with attention and feed-forward pruned by 20% to 50%: {'; '.join(parts)}."
    if useless:
        names = joined([each.name for each in useless])
        answer += f" Nothing can be said about {names}: there, the original is no better than guessing."
    return Page(
        "answers-tasks.md",
        "Q1: facts against reasoning and common sense",
        answer,
        f"facts before {joined(more)}" if more and not less else "depends on the task",
        text,
    )


def _row(task: Benchmark) -> list[str]:
    cell = task.evidence.cells[BASELINE]
    numbers = [f"{cell.items:,}", points(cell.accuracy, signed=False), f"{100 * (cell.chance or 0.0):.1f}"]
    if task.tells_nothing:
        return [task.name, *numbers, *["—"] * len(_SHOWN), "tells nothing"]
    kept = [task.kept(recipes) for recipes in _SHOWN.values()]
    shown = [
        points(expanded_interval(each.value, each.draws, clusters=each.clusters), signed=False) if each else "—"
        for each in kept
    ]
    return [task.name, *numbers, *shown, task.first_loss()]


def _minus(one: Effect | None, other: Effect | None) -> Effect | None:
    if one is None or other is None or one.clusters is None or other.clusters is None:
        return None
    return Effect(
        one.value - other.value,
        one.draws - other.draws,
        min(one.clusters, other.clusters),
        (*one.recipes, *other.recipes),
    )
