"""Small handwritten runs: right answers by recipe and task, and one with a failed and a missing cell."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_up_run import RunBuilder

from forgetmeter.records.item import Item, Request, Requests
from forgetmeter.records.outcome import Outcome
from forgetmeter.records.variant import Reached, RoleCount
from forgetmeter.runs.record_json import record_json

MODEL = "org/tiny"
PRUNED = "l1_unstructured:overall:0.5"
QUANTIZED = "dynamic_int8:overall"
# Not in alphabetical order, so that any other order shows.
RECIPES = ("baseline", PRUNED, QUANTIZED)
TASKS = ("piqa", "lama/trex")

Right = Mapping[tuple[str, str], Sequence[bool]]


def rewrite_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file of a run together with its digest."""
    document = json.loads(path.read_text())
    document.pop("sha256", None)
    change(document)
    path.write_text(json.dumps(document | {"sha256": json.loads(record_json(document))["sha256"]}))


def builder(location: str) -> RunBuilder:
    return RunBuilder(
        location,
        models=[MODEL],
        recipes=RECIPES,
        tasks=TASKS,
        variant_id=lambda _, recipe: f"id{5 - RECIPES.index(recipe)}",
    )


def make_items(task: str, number: int) -> list[Item]:
    requests = Requests([Request("2 + 2 =", " 4"), Request("2 + 2 =", " 5")])
    gold = [(0,), (1,), (1,), (0, 1)]
    return [
        Item(f"{task}/{index}", f"{task}{index}", requests, ("4", "5"), gold[index % 4], {"relation": "P1"})
        for index in range(number)
    ]


def make_outcomes(task: str, right: Sequence[bool], *, metric: str = "acc") -> list[Outcome]:
    return [
        Outcome(
            item_id=f"{task}/{index}",
            correct=correct,
            prediction="4" if correct else "5",
            gold="4",
            rank=1 if correct else None,
            margin=0.5 if correct else None,
            loglikelihoods=(-1.0, -1.5),
            metrics={metric: float(correct)},
        )
        for index, correct in enumerate(right)
    ]


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a run with these right answers by recipe and task, and returns its location."""

    def write(right: Right, *, location: str | None = None) -> str:
        location = location or str(tmp_path / "run")
        run = builder(location)
        for (recipe, task), answers in right.items():
            run.items(task, make_items(task, len(answers)), primary_metric="acc", official_size=100, source="by hand")
            metric = "acc" if task == "piqa" else "p_at_1"
            outcomes = make_outcomes(task, answers, metric=metric)
            metrics = {"acc": sum(answers) / max(len(answers), 1)}
            run.outcomes(recipe, task, outcomes, seconds=1.5, metrics=metrics, speed={"tokens": 7})
        for recipe, zeros in (("baseline", 0), (PRUNED, 5)):
            reached = Reached({"attention.query": RoleCount(20, zeros)}, 10, zeros, zeros, 80, 60, 80, simulated=False)
            run.reached(recipe, reached, seconds=0.5)
        return location

    return write


@pytest.fixture
def full_run(write_run: Callable[..., str]) -> str:
    """All cells of two recipes, and one of the third, which failed on the other task."""
    location = write_run(
        {
            ("baseline", "piqa"): [True, True, True, False],
            (PRUNED, "piqa"): [True, False, False, True],
            (QUANTIZED, "piqa"): [True, True, True, False],
            ("baseline", "lama/trex"): [False, False, False],
            (PRUNED, "lama/trex"): [False, True, False],
        }
    )
    builder(location).failure(QUANTIZED, "lama/trex", "MemoryError: no room")
    return location
