"""The builder of all made-up runs, and runs of any size with random answers.

``written_runs`` and ``hostile_run`` use the same builder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.item import Cloze, Item, Request, Requests, TaskDescription
from forgetmeter.records.outcome import Outcome
from forgetmeter.records.variant import Reached, RoleCount
from forgetmeter.runs import layout
from forgetmeter.runs.run_store import RunStore
from forgetmeter.runs.tables.metadata import parquet_bytes
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import BASELINE, Recipe, parse_recipe

MODEL = "org/made-up"
ATTENTION_WEIGHTS, FEED_FORWARD_WEIGHTS, HEAD_WEIGHTS = 1000, 3000, 500


class RunBuilder:
    """Writes a made-up run through the store, part by part.

    Args:
        location: Folder or URL of the run.
        models: The models, as text; the first is the default of the methods.
        recipes: The recipes, as text.
        tasks: The tasks' names.
        variant_id: Maps a model and a recipe to the variant's id.
        document: Further entries of ``study.json``.
    """

    def __init__(
        self,
        location: str,
        *,
        models: Sequence[str],
        recipes: Sequence[str],
        tasks: Sequence[str],
        variant_id: Callable[[str, str], str] | None = None,
        **document: Any,
    ) -> None:
        self._model, self._variant_id = models[0], variant_id or _readable_id
        self.store = RunStore(location)
        identity = {"models": list(models), "recipes": list(recipes), "tasks": list(tasks), "evaluation": {}}
        variants = [
            {"id": self._variant_id(model, recipe), "model": model, "recipe": recipe}
            for model in models
            for recipe in recipes
        ]
        self.store.open_study({"identity": identity, "variants": variants, **document})

    def variant(self, recipe: str, model: str | None = None) -> Variant:
        name = model or self._model
        return Variant(self._variant_id(name, recipe), parse_model_reference(name), parse_recipe(recipe))

    def cell(self, recipe: str, task: str, model: str | None = None) -> Cell:
        return Cell(self.variant(recipe, model), task)

    def items(self, task: str, items: Sequence[Item], **description: Any) -> None:
        described = {"source": "made up", "primary_metric": "accuracy", "official_size": len(items), **description}
        self.store.write_items(TaskDescription(task, "1", **described), items)

    def outcomes(self, recipe: str, task: str, outcomes: Sequence[Outcome], **facts: Any) -> None:
        self.store.write_outcomes(self.cell(recipe, task), outcomes, facts)

    def reached(self, recipe: str, reached: Reached, *, model: str | None = None, **facts: Any) -> None:
        self.store.write_variant(self.variant(recipe, model), reached, facts)

    def failure(self, recipe: str, task: str, error: str) -> None:
        self.store.write_failure(self.cell(recipe, task), error, "Traceback ...")


def _readable_id(model: str, recipe: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in f"{model}-{recipe}")


Right = Callable[["MadeUpTask", str, np.random.Generator], NDArray[np.bool_]]
"""Returns which items of a task a recipe gets right; each recipe has its own generator."""


@dataclass(frozen=True)
class MadeUpTask:
    """A task of N items, in consecutive relations of equal size."""

    name: str = "made_up"
    items: int = 200
    relations: int = 0
    choices: int = 4
    popularity: bool = False
    gold: int | None = None

    @property
    def relation(self) -> NDArray[np.int64]:
        return np.arange(self.items) * max(self.relations, 1) // self.items

    @property
    def right_places(self) -> NDArray[np.int64]:
        """Index of each item's right choice: evenly spread, or always the same."""
        return np.arange(self.items) % self.choices if self.gold is None else np.full(self.items, self.gold)


def write_made_up_run(
    location: str,
    *,
    recipes: Sequence[str],
    right: Right,
    tasks: Sequence[MadeUpTask] = (MadeUpTask(),),
    models: Sequence[str] = (MODEL,),
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    seed: int = 0,
) -> str:
    """Write a run and return its location; ``metrics`` are by recipe, and each model has its own answers."""
    names = [BASELINE, *(recipe for recipe in recipes if recipe != BASELINE)]
    run = RunBuilder(location, models=models, recipes=names, tasks=[task.name for task in tasks])
    for task in tasks:
        run.items(task.name, _items(task))
    for model in models:
        for name in names:
            run.reached(name, _reached(parse_recipe(name)), model=model)
            for task in tasks:
                random = np.random.default_rng([seed, models.index(model), names.index(name)])
                about = dict((metrics or {}).get(name, {}))
                cell = run.cell(name, task.name, model)
                write_answers(run.store, cell, task, right(task, name, random), random, metrics=about)
    return location


def write_answers(
    store: RunStore,
    cell: Cell,
    task: MadeUpTask,
    correct: NDArray[np.bool_],
    random: np.random.Generator,
    *,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Store a cell whose log-likelihoods agree with which answers are right."""
    values = -np.abs(random.normal(3, 1, (task.items, task.choices))).astype(np.float32)
    gold, best = task.right_places, values.argmax(axis=1)
    rows = np.arange(task.items)
    # Swap the likeliest choice with the right one for a right answer, else with a wrong one.
    target = np.where(correct, gold, (gold + 1 + best % max(task.choices - 1, 1)) % task.choices)
    values[rows, best], values[rows, target] = values[rows, target], values[rows, best]
    mine = values[rows, gold]
    others = np.where(np.arange(task.choices) == gold[:, None], -np.inf, values)
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(task.items + 1) * task.choices, pa.int32()), pa.array(values.ravel(), pa.float32())
    )
    table = pa.table(
        {
            "item_id": [f"{task.name}/{place}" for place in range(task.items)],
            "correct": pa.array(correct),
            "prediction": [f"answer {place}" for place in values.argmax(axis=1).tolist()],
            "gold": [f"answer {place}" for place in gold.tolist()],
            "rank": pa.array(1 + (values > mine[:, None]).sum(axis=1), pa.int32()),
            "margin": pa.array((mine - others.max(axis=1)).astype(np.float64)),
            "loglikelihoods": lists,
            "metric.accuracy": pa.array(correct.astype(np.float64)),
        }
    )
    about = {
        "variant": cell.variant.id,
        "model": str(cell.variant.model),
        "recipe": str(cell.variant.recipe),
        "task": cell.task,
        "rows": len(table),
        "seconds": 2.0,
        "tokens": 10 * task.items,
        "metrics": {"accuracy": float(correct.mean()), **(metrics or {})},
    }
    store.folder.write(layout.outcomes_path(cell.variant.id, cell.task), parquet_bytes(table, about))


def _items(task: MadeUpTask) -> list[Item]:
    choices = tuple(f"answer {place}" for place in range(task.choices))
    items = []
    for place, (relation, gold) in enumerate(zip(task.relation.tolist(), task.right_places.tolist(), strict=True)):
        fields = {"relation": f"R{relation}", "subject": f"thing {place}"} if task.relations else {}
        if task.popularity:
            fields["popularity"] = str(place * 7919 % 1000)
        about = (f"{task.name}/{place}", f"{task.name}{place}")
        if task.relations:
            cloze = Cloze(f"Thing {place} is ", ".", "candidates")
            items.append(Item(*about, cloze, choices, (gold,), fields))
        else:
            requests = Requests(Request(f"What is thing {place}?", f" {choice}") for choice in choices)
            items.append(Item(*about, requests, choices, (gold,), fields))
    return items


def _reached(recipe: Recipe) -> Reached:
    sizes = {"attention.query": ATTENTION_WEIGHTS, "feed_forward.up": FEED_FORWARD_WEIGHTS, "head": HEAD_WEIGHTS}
    zeros = dict.fromkeys(sizes, 0)
    bits = 32.0
    for step in recipe.steps:
        scope = str(step.scope).removeprefix("paper/")
        for role, size in sizes.items():
            chosen = (scope == "overall" and role != "head") or role.startswith(scope)
            if chosen and step.level is not None and step.level <= 1:
                zeros[role] = round(step.level * size)
        bits = 8.0 if step.method == "dynamic_int8" else bits
    weights, removed = sum(sizes.values()), sum(zeros.values())
    selected = sum(size for role, size in sizes.items() if zeros[role])
    return Reached(
        {role: RoleCount(size, zeros[role]) for role, size in sizes.items()},
        selected,
        removed,
        removed,
        4 * weights,
        4 * (weights - removed) + weights // 8,
        round(weights * bits / 8),
        simulated=False,
        smallest_bytes=round((weights - removed) * bits / 8) + weights // 8,
    )
