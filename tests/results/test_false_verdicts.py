"""Runs in which nothing is lost hardly ever report a loss.

Covers ``results.compared.comparison`` and ``statistics.correction``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from made_up_answers import make_answers
from numpy.typing import NDArray

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.clustered import compare_clustered
from forgetmeter.results.compared.comparison import compare_all
from forgetmeter.statistics.correction import holm_corrected
from forgetmeter.statistics.paired import Estimate, mcnemar_exact, paired_drop

VARIANTS = 72


def cell(forgotten: int, gained: int, items: int, p_holm: float) -> CellSummary:
    drop = paired_drop(forgotten=forgotten, gained=gained, items=items)
    return CellSummary("m", "r", "t", items, Estimate(0.5, 0.4, 0.6), drop, p_holm=p_holm)


@pytest.mark.parametrize(("items", "flips"), [(200, 0.1), (500, 0.02), (500, 0.3)])
def test_no_verdict_under_the_null_in_95_of_100_runs(items: int, flips: float) -> None:
    runs, false = 2000, 0
    changed = np.random.default_rng(11).binomial(items, flips, (runs, VARIANTS))
    lost = np.random.default_rng(12).binomial(changed, 0.5)
    p_value = cache(lambda forgotten, gained: mcnemar_exact(forgotten=forgotten, gained=gained))
    for forgotten, gained in zip(lost.tolist(), (changed - lost).tolist(), strict=True):
        p_values = [p_value(*pair) for pair in zip(forgotten, gained, strict=True)]
        # Holm's smallest corrected p-value; no other corrected one is below it.
        place = int(np.argmin(p_values))
        smallest = min(1.0, VARIANTS * p_values[place])
        false += cell(forgotten[place], gained[place], items, smallest).is_significant
    assert false / runs < 0.05


def noisy(random: np.random.Generator, relation: NDArray[np.int64], *, spread: float) -> NDArray[np.bool_]:
    """Return a baseline and variants with a tenth of the answers redrawn, and a shift per relation."""
    items = len(relation)
    known = random.random(items) < 0.5
    chances = np.clip(0.5 + spread * random.uniform(-1, 1, (VARIANTS, relation.max() + 1)), 0, 1)[:, relation]
    redrawn = random.random((VARIANTS, items)) < 0.1
    return np.vstack([known, np.where(redrawn, random.random((VARIANTS, items)) < chances, known)])


def test_random_shifts_of_relations_give_no_verdict() -> None:
    random = np.random.default_rng(12)
    relation = np.arange(1000) % 20
    runs, false = 60, 0
    for _ in range(runs):
        found = compare_clustered(make_answers(noisy(random, relation, spread=0.5), relation))[1:]
        false += min(each.p_value for each in found if each is not None) * VARIANTS < 0.05
    assert false / runs < 0.05


def test_a_real_loss_is_detected() -> None:
    random = np.random.default_rng(13)
    relation = np.arange(1000) % 20
    correct = noisy(random, relation, spread=0.0)
    correct[5] &= random.random(1000) > 0.2
    compared = [each for each in compare_all(make_answers(correct, relation))[1:] if each is not None]
    holm = holm_corrected([each.p_value for each in compared if each.drop])
    over_relations = holm_corrected([each.p_relations for each in compared])
    for corrected in (holm, over_relations):
        assert int(np.argmin(np.asarray(corrected, dtype=float))) == 4
        assert corrected[4] is not None
        assert corrected[4] < 0.001


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "floor", "verdict"),
    [
        (0.01, 0.05, 0.01, None, "lost"),
        (0.01, 0.05, 0.01, 0.02, "unclear"),
        (0.03, 0.05, 0.01, 0.02, "lost"),
        (0.01, 0.05, 0.06, None, "unclear"),
        (-0.01, 0.05, 0.01, None, "unclear"),
        (-0.05, -0.01, 0.01, None, "gained"),
        (-0.05, -0.01, 0.01, 0.02, "unclear"),
        (0.01, 0.05, None, None, None),
    ],
)
def test_a_verdict_needs_p_and_the_whole_interval_beyond_the_noise_floor(
    low: float, high: float, p_holm: float | None, floor: float | None, verdict: str | None
) -> None:
    summary = CellSummary(
        "m", "r", "t", 10, Estimate(0.5, 0.4, 0.6), Estimate(0.03, low, high), p_holm=p_holm, noise_floor=floor
    )
    assert summary.verdict == verdict
    assert summary.is_significant == (verdict in ("lost", "gained"))
