"""Recipes ranked over several tasks, against means computed by hand.

Covers ``results.retained_draws``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hostile_run import HALF, INT8, MOST, write_hostile_run
from made_up_run import MadeUpTask, RunBuilder, write_made_up_run

from forgetmeter.records.item import Item, Request, Requests
from forgetmeter.records.outcome import Outcome
from forgetmeter.results.results import open_run
from forgetmeter.results.standing import Standings
from forgetmeter.runs.run import Run

GOOD, SAME, BAD = "l1_unstructured:overall:0.1", "l1_unstructured:overall:0.2", "l1_unstructured:overall:0.9"
FORGETS = {"baseline": 0.0, GOOD: 0.05, SAME: 0.05, BAD: 0.6}
TASKS = (MadeUpTask("facts_like", 600, 6), MadeUpTask("plain", 400), MadeUpTask("unknown", 100))


def right(task: MadeUpTask, recipe: str, random: np.random.Generator) -> np.ndarray:
    known = np.arange(task.items) % 4 < (3 if task.name != "unknown" else 1)
    return known & (random.random(task.items) >= FORGETS[recipe])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    location = str(tmp_path_factory.mktemp("standing") / "run")
    return open_run(write_made_up_run(location, recipes=(GOOD, SAME, BAD), right=right, tasks=TASKS))


@pytest.fixture(scope="module")
def found(run: Run) -> Standings:
    return run.standings((BAD, SAME, GOOD))


def retained(run: Run, recipe: str, task: str) -> float:
    rows = run.outcomes[run.outcomes["task"] == task].pivot_table(index="item_id", columns="recipe", values="correct")
    return float(rows.loc[rows["baseline"] == 1, recipe].mean())


def test_recipes_are_ranked_by_the_mean_over_informative_tasks(run: Run, found: Standings) -> None:
    means = {each: (retained(run, each, "facts_like") + retained(run, each, "plain")) / 2 for each in (GOOD, SAME, BAD)}
    assert [each.recipe for each in found.ranked] == sorted(means, key=lambda each: -means[each])
    for standing in found.ranked:
        assert standing.retained.value == pytest.approx(means[standing.recipe])
        assert standing.retained.low <= standing.retained.value <= standing.retained.high
        assert [task.task for task in standing.tasks] == ["facts_like", "plain"]
        for task in standing.tasks:
            assert task.retained.value == pytest.approx(retained(run, standing.recipe, task.task))
            assert task.forgotten == pytest.approx((1 - task.retained.value) * task.known)
    # A quarter right among four choices is guessing.
    assert found.not_counted == (("unknown", "the baseline itself is not significantly better than guessing"),)


def test_distances_to_the_best_have_intervals(run: Run, found: Standings) -> None:
    best, second, last = found.ranked
    assert best.behind is None
    assert second.behind is not None
    assert last.behind is not None
    assert last.behind.value == pytest.approx(best.retained.value - last.retained.value)
    assert last.is_clearly_behind
    assert not second.is_clearly_behind
    assert not best.is_clearly_behind
    # Paired on the same items, so what both keep does not widen the interval.
    assert 0.02 < last.behind.high - last.behind.low < 0.25


def test_equal_recipes_have_intervals(tmp_path: Path) -> None:
    def known(task: MadeUpTask, _recipe: str, _random: np.random.Generator) -> np.ndarray:
        return np.arange(task.items) % 4 < 3

    location = write_made_up_run(str(tmp_path / "run"), recipes=(GOOD, SAME), right=known, tasks=TASKS[:2])
    best, second = open_run(location).standings((GOOD, SAME)).ranked
    assert best.retained.low < 0.999 < best.retained.high == 1
    assert second.behind is not None
    assert second.behind.low < 0 < second.behind.high
    # The mean of two tasks has a narrower interval than either.
    widths = [task.retained.value - task.retained.low for task in best.tasks]
    assert min(widths) / 2 < best.retained.value - best.retained.low < max(widths)


def test_ties_keep_the_earlier_recipe_first(tmp_path: Path) -> None:
    def known(task: MadeUpTask, _recipe: str, _random: np.random.Generator) -> np.ndarray:
        return np.arange(task.items) % 4 < 3

    run = open_run(write_made_up_run(str(tmp_path / "run"), recipes=(GOOD, SAME), right=known))
    assert [each.recipe for each in run.standings((SAME, GOOD)).ranked] == [SAME, GOOD]
    assert [each.recipe for each in run.standings((GOOD, SAME)).ranked] == [GOOD, SAME]


def test_of_equal_sizes_the_simpler_comes_first_unless_it_is_clearly_worse(tmp_path: Path) -> None:
    """Fewer steps, then fewer options; a smaller loss within chance does not make up for them."""
    four, grouped = "round_to_nearest:overall:4", "round_to_nearest:overall:4:group_size=32"
    pruned = f"l1_unstructured:overall:0.2+{four}"
    forgets = {"baseline": 0, pruned: 2, grouped: 3, four: 4, BAD: 100}

    def mostly(task: MadeUpTask, recipe: str, _random: np.random.Generator) -> np.ndarray:
        return (np.arange(task.items) % 4 < 3) & (np.arange(task.items) >= forgets[recipe])

    run = open_run(write_made_up_run(str(tmp_path / "run"), recipes=(pruned, grouped, four, BAD), right=mostly))
    given = (pruned, grouped, four, BAD)

    def order(**sizes: int) -> list[str]:
        found = run.standings(given, sizes=dict(zip(given, sizes.values(), strict=True)))
        assert found.ranked[0].behind is None
        return [each.recipe for each in found.ranked]

    assert [each.recipe for each in run.standings(given).ranked] == [pruned, grouped, four, BAD]
    assert order(pruned=7, grouped=7, four=7, bad=7) == [four, grouped, pruned, BAD]
    assert order(pruned=7, grouped=9, four=7, bad=7) == [four, pruned, grouped, BAD]
    assert order(pruned=6, grouped=9, four=7, bad=7) == [pruned, grouped, four, BAD]


def test_with_one_task_it_matches_the_tables(tmp_path: Path) -> None:
    location = write_made_up_run(str(tmp_path / "run"), recipes=(GOOD, BAD), right=right, tasks=TASKS[:1])
    run = open_run(location)
    for standing in run.standings((GOOD, BAD)).ranked:
        (cell,) = (each for each in run.summary.cells if each.recipe == standing.recipe)
        assert standing.retained == cell.retained_estimate


def test_failed_and_missing_recipes_are_not_ranked(tmp_path: Path) -> None:
    known = [place % 4 > 0 for place in range(80)]
    location = write_hostile_run(str(tmp_path / "run"), {"baseline": known, HALF: known}, failed={MOST: "no memory"})
    found = open_run(location).standings((MOST, HALF, INT8))
    assert [each.recipe for each in found.ranked] == [HALF]
    assert found.failures == ((MOST, "no memory"),)


def test_a_task_without_right_answers_is_named(tmp_path: Path) -> None:
    run = RunBuilder(str(tmp_path / "run"), models=["org/tiny"], recipes=["baseline"], tasks=["weighed"])
    run.items("weighed", [Item("weighed/0", "0", Requests([Request("a", "b")]), ("b",), (0,))])
    run.outcomes("baseline", "weighed", [Outcome("weighed/0", None, "", "", None, None, (-1.0,), {"acc": 0.4})])
    found = open_run(tmp_path / "run").standings(["baseline"])
    assert (found.counted, found.not_counted) == ((), (("weighed", "it has no right answers to retain"),))


def test_without_a_baseline_that_knows_anything_nothing_is_ranked(tmp_path: Path) -> None:
    location = write_hostile_run(str(tmp_path / "run"), {"baseline": [False] * 30, HALF: [True] * 30})
    found = open_run(location).standings((HALF,))
    assert found.ranked == ()
    assert found.not_counted == (("lama/trex", "the baseline gets only 0 facts right; a test needs at least 20"),)
