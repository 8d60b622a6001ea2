"""A task's answers as arrays, against the stored outcomes.

Covers ``records.outcome``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up_answers import make_answers
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.outcome import Outcome
from forgetmeter.results.results import open_run
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe

PRUNED = "l1_unstructured:overall:0.5"


def half(task: MadeUpTask, recipe: str, random: np.random.Generator) -> np.ndarray:
    return random.random(task.items) < 0.5


def test_arrays_match_the_outcomes(tmp_path: str) -> None:
    tasks = (MadeUpTask("one", 30, relations=3, popularity=True), MadeUpTask("other", 20))
    recipes = [PRUNED, "dynamic_int8:overall"]
    run = open_run(write_made_up_run(f"{tmp_path}/run", recipes=recipes, right=half, tasks=tasks))
    outcomes = run.outcomes
    assert [answers.task for answers in run.run.answers] == ["one", "other"]
    for answers, task in zip(run.run.answers, tasks, strict=True):
        assert answers.recipes == ("baseline", *recipes)
        assert answers.baseline == 0
        assert answers.answered.all()
        before = outcomes[(outcomes["recipe"] == "baseline") & (outcomes["task"] == task.name)]
        for row, recipe in enumerate(answers.recipes):
            frame = outcomes[(outcomes["recipe"] == recipe) & (outcomes["task"] == task.name)]
            assert answers.items.tolist() == frame["item_id"].tolist()
            assert answers.correct[row].tolist() == frame["correct"].tolist()
            assert answers.rank[row].tolist() == frame["rank"].tolist()
            assert answers.margin[row] == pytest.approx(frame["margin"].to_numpy(), rel=1e-6)
            changed = frame["prediction"].to_numpy() != before["prediction"].to_numpy()
            assert answers.changed[row].tolist() == changed.tolist()
        assert answers.baselines.chance.tolist() == [0.25] * task.items
        assert (answers.divergence[0] == 0).all()
    one, other = run.run.answers
    assert (one.relations, other.relations) == (("R0", "R1", "R2"), ())
    assert one.relation.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert set(other.relation.tolist()) == {-1}
    assert one.popularity[1] == 7919 % 1000
    assert np.isnan(other.popularity).all()


def test_a_variant_with_other_items_in_another_order(write_run: Callable[..., str]) -> None:
    location = write_run({("baseline", "piqa"): [True, True, False, False]})
    Path(location, "items", "piqa.parquet").unlink()
    cell = Cell(Variant("id4", parse_model_reference("org/tiny"), parse_recipe(PRUNED)), "piqa")
    answers = {3: True, 1: False, 9: True}
    outcomes = [Outcome(f"piqa/{at}", right, "4", "4", 1, float(at), ()) for at, right in answers.items()]
    RunStore(location).write_outcomes(cell, outcomes, {})
    (found,) = open_run(location).run.answers
    assert found.items.tolist() == ["piqa/0", "piqa/1", "piqa/2", "piqa/3", "piqa/9"]
    assert found.answered.tolist() == [[True] * 4 + [False], [False, True, False, True, True]]
    assert found.paired[1].tolist() == [False, True, False, True, False]
    assert found.correct[1].tolist() == [False, False, False, True, True]
    assert found.margin[1, [1, 3, 4]].tolist() == [1, 3, 9]
    # The baseline answered 4 if right, else 5.
    assert found.changed[1].tolist() == [False, False, False, True, False]


def test_without_a_baseline_nothing_is_known(write_run: Callable[..., str]) -> None:
    (found,) = open_run(write_run({(PRUNED, "piqa"): [True, False]})).run.answers
    assert found.baseline is None
    assert not found.known.any()
    assert not found.paired.any()


def test_an_item_without_a_relation_is_a_cluster_of_its_own() -> None:
    relation = np.asarray([0, 4, -1, 1, 2, 3, -1, 4])
    answers = make_answers(np.ones((1, 8), dtype=bool), relation)
    clusters = answers.clusters()
    assert clusters is not None
    assert clusters.place.tolist() == [0, 4, 5, 1, 2, 3, 6, 4]
    assert (clusters.relations, clusters.number) == (5, 7)
    assert clusters.totals(answers.correct).tolist() == [[1, 1, 1, 1, 2, 1, 1]]
    some = answers.clusters(np.asarray([True] * 7 + [False]))
    assert some is not None
    assert some.place.tolist() == [0, 4, 5, 1, 2, 3, 6]
    assert answers.clusters(relation != 0) is None, "only four relations"
