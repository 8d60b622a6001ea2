"""What the answers are computed from: runs of ``studies/answers``, one task of facts per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

import forgetmeter
from forgetmeter.results.findings.evidence import Evidence, gather
from forgetmeter.results.results import Results
from forgetmeter.results.sizes import variant_bytes
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.paired import Estimate
from forgetmeter.statistics.resampling import expanded_interval


@dataclass(frozen=True)
class Source:
    """A study whose run the answers read.

    Attributes:
        name: Of ``studies/answers/NAME.yaml``, of the run ``runs/answers-NAME`` and of the file of its outcomes.
        facts: The task whose retained share stands for knowledge.
        seconds: What the run took where it was made, in words.
        labels: The name of each model in tables.
    """

    name: str
    facts: str
    seconds: str
    labels: Mapping[str, str]


SOURCES = (
    Source(
        "standards",
        "facts:templates=0",
        "",
        {
            "standard:encoder": "encoder",
            "standard:encoder-decoder": "encoder-decoder",
            "standard:decoder": "decoder",
        },
    ),
)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with its outcomes.

    Attributes:
        label: Its name in tables.
        evidence: Its outcomes on the task of facts.
        results: The run that it is in.
    """

    label: str
    evidence: Evidence
    results: Results

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

    @property
    def recipes(self) -> Sequence[str]:
        """The recipes that have outcomes, without the baseline."""
        return [recipe for recipe in self.evidence.answers.recipes if recipe != BASELINE]

    def retained(self, recipe: str) -> Estimate | None:
        """Return what a recipe retains of the facts; ``None`` if the run lacks it."""
        cell = self.evidence.cells.get(recipe)
        return None if cell is None else cell.retained_estimate

    def contrast(self, coefficients: Mapping[str, float], constant: float = 0.0) -> Estimate:
        """Return a weighted sum of retained shares plus a constant, with its interval over relations."""
        draws = self.evidence.draws
        value, resampled = draws.contrast(coefficients, constant)
        return expanded_interval(value, resampled, clusters=draws.clusters)


def subjects(runs: Path, sources: Sequence[Source] = SOURCES) -> list[Subject]:
    """Open the runs, and return their models in the order of the studies."""
    found = []
    for source in sources:
        results = forgetmeter.open_run(runs / f"answers-{source.name}")
        for model in gather(results.run, results.summary):
            for evidence in model.tasks:
                if evidence.task == source.facts and model.model in source.labels:
                    found.append(Subject(source.labels[model.model], evidence, results))
    return found


def outcomes(results: Results) -> pd.DataFrame:
    """Return whether each item was answered correctly: a row per item, with a column per recipe.

    The first columns are ``model``, ``task`` and ``item_id``. Tasks without right answers are left out.
    """
    long = results.outcomes[["model", "task", "item_id", "recipe", "correct"]]
    order = [each for each in dict.fromkeys(long["recipe"])]
    wide = long.pivot(index=["model", "task", "item_id"], columns="recipe", values="correct")
    return wide[order].astype("boolean").reset_index()
