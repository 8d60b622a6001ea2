"""Curves of what is retained by level, with average and knee.

Covers ``results.retained_draws`` and ``statistics.resampling``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_answers import make_answers
from made_up_run import ATTENTION_WEIGHTS, MadeUpTask, write_made_up_run
from scipy.integrate import trapezoid

from forgetmeter.results.results import open_run
from forgetmeter.results.retained_curve import RetainedCurve
from forgetmeter.results.retained_draws import retained_draws
from forgetmeter.statistics.resampling import expanded_interval, resampled_sums, totals_by_cluster

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
KEPT = (0.98, 0.9, 0.8, 0.2, 0.1)


def falls(task: MadeUpTask, recipe: str, random: np.random.Generator) -> np.ndarray:
    """Return answers that retain less from level 0.5 to 0.7."""
    known = np.random.default_rng(0).random(task.items) < 0.6
    if recipe == "baseline":
        return known
    return known & (np.random.default_rng(1).random(task.items) < KEPT[LEVELS.index(float(recipe.split(":")[2]))])


def curve_of(tmp_path: Path, task: MadeUpTask) -> RetainedCurve:
    # Not ordered by level.
    recipes = [f"l1_unstructured:attention:{level}" for level in reversed(LEVELS)]
    run = open_run(write_made_up_run(str(tmp_path / "run"), recipes=recipes, right=falls, tasks=[task]))
    (curve,) = run.retained_curves
    return curve


@pytest.mark.parametrize("relations", [0, 12])
def test_a_curve_by_hand(tmp_path: Path, relations: int) -> None:
    curve = curve_of(tmp_path, MadeUpTask(items=600, relations=relations))
    assert (curve.method, curve.scope) == ("l1_unstructured", "attention")
    assert [point.level for point in curve.points] == list(LEVELS)
    assert [point.removed_weights for point in curve.points] == [round(ATTENTION_WEIGHTS * level) for level in LEVELS]
    values = [point.retained.value for point in curve.points]
    assert values == pytest.approx(KEPT, abs=0.06)
    assert curve.area.value == pytest.approx(trapezoid([1, *values], [0, *LEVELS]) / 0.9)
    assert curve.area.low < curve.area.value < curve.area.high
    assert curve.area.high - curve.area.low < 0.1
    assert curve.knee is not None
    assert (curve.knee.low, curve.knee.high) == (curve.knee.interval_low, curve.knee.interval_high) == (0.5, 0.7)
    assert curve.knee.share == 1


def test_an_uncertain_knee_has_a_wide_interval(tmp_path: Path) -> None:
    curve = curve_of(tmp_path, MadeUpTask(items=12))
    assert curve.knee is not None
    assert curve.knee.interval_low <= curve.knee.low < curve.knee.high <= curve.knee.interval_high
    assert curve.knee.share < 1


def test_resampled_items_have_the_variance_of_items() -> None:
    marks = np.random.default_rng(0).random((3, 400)) < [[0.1], [0.5], [1.0]]
    sums = resampled_sums(marks, resamples=4000)
    shares = marks.mean(axis=1)
    assert sums.mean(axis=0) == pytest.approx(400 * shares, rel=0.02)
    assert sums.std(axis=0) == pytest.approx(np.sqrt(400 * shares * (1 - shares)), rel=0.05)


def test_totals_by_cluster_match_a_loop() -> None:
    random = np.random.default_rng(0)
    marks, cluster = random.random((2, 50)) < 0.5, random.permutation(np.arange(50) % 7)
    expected = [[marks[row, cluster == each].sum() for each in range(7)] for row in range(2)]
    assert totals_by_cluster(marks, cluster).tolist() == expected


def test_with_many_clusters_the_interval_is_the_plain_percentile_one() -> None:
    draws = np.random.default_rng(0).normal(size=5000)
    plain = np.quantile(draws, [0.025, 0.975])
    many = expanded_interval(0.0, draws, clusters=None)
    assert (many.low, many.high) == pytest.approx(tuple(plain))
    few = expanded_interval(0.0, draws, clusters=8)
    assert few.low < plain[0] - 0.2
    assert few.high > plain[1] + 0.2
    assert expanded_interval(0.5, np.asarray([np.nan]), clusters=8).low == 0.5


def test_an_item_without_a_relation_leaves_the_draws_over_relations() -> None:
    """Draws over items would be a fifth as wide."""
    relation = np.repeat(np.arange(10), 100)
    correct = np.stack([np.ones(1000, dtype=bool), relation >= 3])
    found = [retained_draws(make_answers(correct, np.where(np.arange(1000) < blank, -1, relation))) for blank in (0, 1)]
    assert [each.clusters for each in found] == [10, 10]
    whole, blank = (float(each.draws[:, 1].std()) for each in found)
    assert blank == pytest.approx(whole, rel=0.1)
    assert whole > 0.1
