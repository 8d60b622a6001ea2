"""What the answers are computed from: runs of ``studies/answers``, one task of facts per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forgetmeter.config.study import CalibrationSettings
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.results.findings.evidence import Evidence, gather
from forgetmeter.results.ledger import Ledger
from forgetmeter.results.results import Results
from forgetmeter.results.sizes import variant_bytes
from forgetmeter.runs.content.answers import Answers
from forgetmeter.scoring.calibration import calibration_calls
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.paired import Estimate
from forgetmeter.statistics.resampling import cluster_weights, expanded_interval

FACTS = "facts:templates=0"
"""The task whose retained share stands for knowledge."""


Group = Literal["grid", "tasks", "cheap numbers"]


@dataclass(frozen=True)
class Source:
    """A study whose run the answers read.

    Attributes:
        name: Of ``studies/answers/NAME.yaml``, of the run ``runs/answers-NAME`` and of the file of its outcomes.
        time: How long the run took with two processes on 2 cores of an AMD EPYC (AVX2), other jobs running.
        labels: The names of its models in tables, in its order.
        groups: The groups of pages that are made from it.
        left_out: Recipes that say nothing about its model.
    """

    name: str
    time: str
    labels: Sequence[str]
    groups: Sequence[Group] = ("grid",)
    left_out: Sequence[str] = ()


SOURCES = (
    Source("standards", "20 minutes", ("encoder", "encoder-decoder", "decoder")),
    Source("decoder", "10 minutes", ("decoder",), ("cheap numbers",)),
    # Its file (Q4_1) has a scale and a minimum for each 32 weights: HQQ with 4 bits finds that grid again.
    Source("smollm2", "2 hours", ("SmolLM2",), ("grid", "tasks", "cheap numbers"), ("hqq:overall:4:group_size=32",)),
    Source("smollm2-benchmarks", "16 minutes", ("SmolLM2",), ("tasks",)),
    Source("smollm2-bear", "5 minutes", ("SmolLM2",), ("tasks",)),
)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with its outcomes.

    Attributes:
        label: Its name in tables.
        evidence: Its outcomes on a task.
        results: The run that it is in.
        left_out: Recipes that are not looked at.
    """

    label: str
    evidence: Evidence
    results: Results
    left_out: Sequence[str] = ()

    @property
    def model(self) -> str:
        """Its name in the run."""
        return self.evidence.answers.model

    @cached_property
    def saved(self) -> Mapping[str, float]:
        """Bytes that each recipe saves of the model as it is computed, each matrix in its smallest form."""
        summary = self.results.summary
        plain = next(
            each.dense_bytes for each in summary.variants if (each.model, each.recipe) == (self.model, BASELINE)
        )
        sizes = {recipe: variant_bytes(self.model, recipe, summary) for recipe in self.recipes}
        return {recipe: float((plain or 0) - size) for recipe, size in sizes.items() if size is not None}

    @cached_property
    def bits_per_weight(self) -> Mapping[str, float]:
        """Bits of each weight that a recipe selects, with scales and zero points."""
        reached = {
            each.recipe: each.reached
            for each in self.results.run.variants
            if each.model == self.model and each.reached is not None
        }
        return {
            recipe: 32 - 8 * (found.dense_bytes - found.quantized_bytes) / found.selected_weights
            for recipe, found in reached.items()
            if found.selected_weights
        }

    @cached_property
    def recipes(self) -> Sequence[str]:
        """The recipes that have outcomes, without the baseline."""
        return [recipe for recipe in self.evidence.answers.recipes if recipe not in (BASELINE, *self.left_out)]

    @cached_property
    def informative(self) -> Mapping[str, float]:
        """The share of known facts that recipes retain, of those that are better than guessing."""
        draws = self.evidence.draws
        return {
            recipe: share
            for recipe, share in zip(draws.recipes, draws.retained, strict=True)
            if recipe in self.recipes and not self.evidence.cells[recipe].is_guessing
        }

    def retained(self, recipe: str) -> Estimate | None:
        """Return what a recipe retains of the facts; ``None`` if the run lacks it."""
        cell = self.evidence.cells.get(recipe) if recipe in self.recipes else None
        return None if cell is None else cell.retained_estimate

    def ledger(self, recipe: str) -> Ledger:
        """Return what a recipe did to each fact."""
        return self.results.ledgers(recipe, task=self.evidence.task, model=self.model)[0]

    @cached_property
    def elsewhere(self) -> Answers | None:
        """Its outcomes in the other phrasing of the run; ``None`` if the run has one phrasing."""
        task = FACTS.replace("templates=0", "templates=3")
        return next((each for each in self.results.run.answers if (each.model, each.task) == (self.model, task)), None)

    def right_elsewhere(self, recipe: str) -> set[str]:
        """Return the facts, as items of the task, that a recipe answers correctly in the other phrasing of the run."""
        if (answers := self.elsewhere) is None:
            return set()
        right = answers.items[answers.correct[answers.recipes.index(recipe)]]
        # facts/RELATION/PHRASING/NUMBER
        return {"/".join((*item.split("/")[:2], "0", item.split("/")[3])) for item in right}

    @cached_property
    def gold(self) -> NDArray[np.object_]:
        """The right answer of each item."""
        answers = {entry.item_id: entry.gold for entry in self.ledger(self.recipes[0]).entries}
        return np.asarray([answers[item] for item in self.evidence.answers.items], dtype=object)

    @cached_property
    def taught(self) -> set[str]:
        """The items whose statements are in the calibration text of the run."""
        loaded = load(self.model)
        recorded = self.results.run.study.settings["calibration"]
        settings = CalibrationSettings(**{name: value for name, value in recorded.items() if name != "sha256"})
        read = [row.tolist() for call in calibration_calls(loaded, settings) for row in call["input_ids"]]
        texts = {" ".join(loaded.tokenizer.convert_ids_to_tokens(row)) for row in read}
        found = set()
        for item in load_task(self.evidence.task).items:
            statement = loaded.tokenizer.tokenize(item.cloze.filled(item.choices[item.gold[0]]))
            if any(" ".join(statement) in text for text in texts):
                found.add(item.id)
        return found

    def by_relation(self, marks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the number of marked items of each relation."""
        answers = self.evidence.answers
        return np.bincount(answers.relation[marks], minlength=len(answers.relations)).astype(np.float64)


def subjects(source: Source, results: Results) -> list[Subject]:
    """Return the models of a run on each of its tasks, in its order."""
    return [
        Subject(label, evidence, results, source.left_out)
        for label, model in zip(source.labels, gather(results.run, results.summary), strict=True)
        for evidence in model.tasks
    ]


def over_relations(some: NDArray[np.float64], whole: NDArray[np.float64]) -> Estimate:
    """Return the ratio of two sums over relations, with its 95% interval.

    Args:
        some: Of each relation.
        whole: Of each relation.
    """
    weights = cluster_weights(len(whole))
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = (weights @ some) / (weights @ whole)
    return expanded_interval(float(some.sum() / whole.sum()), draws, clusters=int((whole > 0).sum()))


def outcomes(results: Results) -> pd.DataFrame:
    """Return whether each item was answered correctly: a row per item, with a column per recipe.

    The first columns are ``model``, ``task`` and ``item_id``; then the right answer, its margin before compression in
    nats, and the popularity of the subject. Tasks without right answers are left out.
    """
    item = ["model", "task", "item_id"]
    long = results.outcomes[[*item, "recipe", "correct", "gold", "margin"]]
    order = list(dict.fromkeys(long["recipe"]))
    wide = long.pivot(index=item, columns="recipe", values="correct")[order].astype("boolean").dropna(subset=[BASELINE])
    about = long[long["recipe"] == BASELINE].set_index(item)[["gold", "margin"]].astype({"margin": np.float32})
    popularity = {
        (each.model, each.task, name): value
        for each in results.run.answers
        for name, value in zip(each.items, each.popularity, strict=True)
    }
    about["popularity"] = [popularity.get(key, np.nan) for key in about.index]
    return about.join(wide, how="right").reset_index()
