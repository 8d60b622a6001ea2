"""The Pareto frontier, against a loop over all pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.results.frontier import MEASURES, frontiers
from forgetmeter.results.results import open_run

KEEPS = {
    "baseline": 1.0,
    "l1_unstructured:attention:0.5": 0.9,
    "l1_unstructured:feed_forward:0.5": 0.5,
    "l1_unstructured:overall:0.3": 0.4,
    "l1_unstructured:overall:0.9": 0.1,
    "dynamic_int8:overall": 0.8,
}


def keeps(task: MadeUpTask, recipe: str, random: np.random.Generator) -> np.ndarray:
    known = np.random.default_rng(0).random(task.items) < 0.7
    return known & (random.random(task.items) < KEEPS[recipe])


def test_the_set_matches_a_loop(tmp_path: Path) -> None:
    location = write_made_up_run(str(tmp_path / "run"), recipes=list(KEEPS), right=keeps, tasks=[MadeUpTask(items=500)])
    run = open_run(location)
    (found,) = frontiers(run.summary)
    assert [point.recipe for point in found.points] == list(KEEPS)
    for measure in MEASURES:
        sign = -1 if measure == "tokens_per_second" else 1
        costs = {point.recipe: (sign * point.costs[measure], -point.retained.value) for point in found.points}
        beaten = {
            mine
            for mine, (cost, loss) in costs.items()
            for theirs in costs.values()
            if theirs[0] <= cost and theirs[1] <= loss and theirs != (cost, loss)
        }
        assert found.pareto_set(measure) == tuple(recipe for recipe in KEEPS if recipe not in beaten)
        column = run.frontier.set_index("recipe")[f"pareto.{measure}"]
        assert [recipe for recipe, is_in in column.items() if is_in] == list(found.pareto_set(measure))
    assert "l1_unstructured:overall:0.3" not in found.pareto_set("bitmask_bytes")
    assert found.pareto_set("dense_bytes") == ("baseline",)
    assert found.points[0].costs["tokens_per_second"] == 10 * 500 / 2


def test_without_a_baseline_or_knowledge_there_is_none(full_run: str) -> None:
    found = {
        (frontier.task, point.recipe) for frontier in frontiers(open_run(full_run).summary) for point in frontier.points
    }
    # The baseline knew nothing of lama/trex, so it is the only point there; the third variant has no record.
    assert ("lama/trex", "l1_unstructured:overall:0.5") not in found
    assert ("piqa", "dynamic_int8:overall") in found


def test_simulated_variants_have_no_speed_and_an_all_wrong_baseline_no_frontier(tmp_path: Path) -> None:
    location = write_made_up_run(str(tmp_path / "run"), recipes=list(KEEPS), right=keeps, tasks=[MadeUpTask(items=100)])
    summary = open_run(location).summary
    simulated = tuple(replace(each, simulated=each.recipe == "dynamic_int8:overall") for each in summary.variants)
    (found,) = frontiers(replace(summary, variants=simulated))
    speeds = {point.recipe: point.costs.get("tokens_per_second") for point in found.points}
    assert speeds.pop("dynamic_int8:overall") is None
    assert None not in speeds.values()
    assert found.pareto_set("tokens_per_second")
    assert "dynamic_int8:overall" not in found.pareto_set("tokens_per_second")
    wrong = write_made_up_run(
        str(tmp_path / "wrong"), recipes=list(KEEPS), right=lambda task, *_: np.zeros(task.items, dtype=bool)
    )
    assert frontiers(open_run(wrong).summary) == ()
