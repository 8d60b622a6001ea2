"""What a number of items can resolve, against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from forgetmeter.statistics.clustered_proportion import difference_interval
from forgetmeter.statistics.paired import paired_drop
from forgetmeter.statistics.resampling import hull
from forgetmeter.statistics.resolution import Expected, SeenCorrelation, seen_correlation
from forgetmeter.statistics.strict import strict_drop


def high(forgotten: int, gained: int, items: int) -> float:
    """Return the upper limit of a drop over items, as a gate computes it."""
    strict = strict_drop(forgotten=forgotten, gained=gained, items=items, confidence=0.95)
    return hull(paired_drop(forgotten=forgotten, gained=gained, items=items), strict).high


@pytest.mark.parametrize("flips", [0.0, 0.01, 0.1, 0.4])
@pytest.mark.parametrize("items", [30, 300, 5000])
def test_the_half_width_is_that_of_the_interval(items, flips) -> None:
    half = round(items * flips / 2)
    assert Expected(2 * half / items).half_width(items) == pytest.approx(high(half, half, items))


@pytest.mark.parametrize(("flips", "margin"), [(0.1, 0.01), (0.1, 0.05), (0.02, 0.02), (0.005, 0.01), (0.3, 0.05)])
def test_the_needed_items_pass_with_80_percent(flips, margin) -> None:
    expected = Expected(flips)
    items = expected.needed(margin, 0.8)
    assert items is not None
    assert expected.power(margin, items) >= 0.8 > expected.power(margin, items - 1)
    random = np.random.default_rng(0)
    drawn = random.multinomial(items, [flips / 2, flips / 2, 1 - flips], size=2000)
    passed = [high(int(a), int(b), items) <= margin for a, b, _ in drawn]
    # Of few changes, the number is too high rather than too low.
    assert 0.79 <= np.mean(passed) <= 0.88


def test_known_figures() -> None:
    assert Expected(0.1).half_width(300) == pytest.approx(0.0389, abs=1e-4)
    assert Expected(0.1).needed(0.01, 0.8) == pytest.approx(8100, abs=60)
    assert Expected(0.1).needed(1e-9, 0.8) is None
    assert Expected(0.0).needed(0.05, 0.8) == 72


def test_items_of_the_same_relation_are_alike() -> None:
    """The design effect grows with their number, so that a small margin may need more relations, not more items."""
    expected = Expected(0.1, 0.01, (11,) * 20)
    assert [expected.design_effect(items) for items in (20, 220, 2020)] == pytest.approx([1, 1.1, 2])
    assert expected.needed(0.05, 0.8) == pytest.approx(544, abs=40)
    assert expected.needed(0.01, 0.8) is None
    assert expected.power(0.02, 10**6) < 0.8


@pytest.mark.parametrize(("relations", "each"), [(8, 50), (20, 134)])
def test_the_power_over_relations_is_that_of_simulated_relations(relations, each) -> None:
    """Drops of relations vary by what the correlation says, beside the chance of their items."""
    flips, alike, margin = 0.1, 0.02, 0.04
    random, items = np.random.default_rng(0), relations * each
    spread = np.sqrt(alike * flips)
    passed = []
    for _ in range(1500):
        lean = random.normal(0, spread, relations)
        lost = random.binomial(each, np.clip(flips / 2 + lean / 2, 0, 1))
        won = random.binomial(each, np.clip(flips / 2 - lean / 2, 0, 1))
        found = difference_interval(*(np.asarray(values, float) for values in (lost, won, np.full(relations, each))))
        passed.append(found.high <= margin)
    expected = Expected(flips, alike, (each,) * relations).power(margin, items)
    assert np.mean(passed) == pytest.approx(expected, abs=0.06)


def test_large_relations_make_items_more_alike() -> None:
    unequal = Expected(0.1, 0.01, (190, *(10,) * 10))
    assert unequal.design_effect(290) == pytest.approx(1 + 0.01 * (sum([190**2, 10 * 10**2]) / 290 - 1))
    assert unequal.design_effect(290) > Expected(0.1, 0.01, (29,) * 10).design_effect(290)


def changes(random, *, relations, each, alike, flips=0.1, variants=1):
    """Return changes whose intraclass correlation is known, and the relation of each item."""
    lean = np.sqrt(alike * flips) * random.choice([-1, 1], (variants, relations)).repeat(each, axis=1)
    drawn = random.random(lean.shape)
    lost, won = (np.clip(flips / 2 + sign * lean / 2, 0, 1) for sign in (1, -1))
    return np.where(drawn < lost, 1.0, np.where(drawn < lost + won, -1.0, 0.0)), np.arange(relations).repeat(each)


@pytest.mark.parametrize("alike", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("each", [3, 30])
def test_the_seen_correlation_is_unbiased(alike, each) -> None:
    """Of many variants at once, on few items of each relation as on many."""
    found = seen_correlation(*changes(np.random.default_rng(0), relations=40, each=each, alike=alike, variants=2000))
    assert found.value == pytest.approx(alike, abs=0.003)


def test_the_variance_of_the_seen_correlation() -> None:
    random = np.random.default_rng(0)
    found = [seen_correlation(*changes(random, relations=20, each=10, alike=0.0)) for _ in range(500)]
    assert np.var([each.value for each in found]) == pytest.approx(found[0].variance(0.0), rel=0.2)
    assert found[0].variance(0.1) > found[0].variance(0.0)


def test_what_few_items_show_is_drawn_towards_what_is_usual() -> None:
    assert SeenCorrelation(0.1, 1000, 10**6).shrunk(0.01) == pytest.approx(0.1, abs=1e-3)
    assert SeenCorrelation(0.1, 1000, 10**6).doubt(0.01) == pytest.approx(0, abs=1e-4)
    assert SeenCorrelation(0.1, 2, 5).shrunk(0.01) == pytest.approx(0.01, abs=1e-4)
    assert SeenCorrelation(0.1, 2, 5).doubt(0.01) == pytest.approx(0.01, abs=1e-4)
    assert 0.01 < SeenCorrelation(0.03, 40, 20).shrunk(0.01) < 0.03
    assert SeenCorrelation(-0.5, 40, 20).shrunk(0.01) == 0.0


def test_doubt_about_the_correlation_asks_for_more_items() -> None:
    sure, unsure = Expected(0.1, 0.01, (1,) * 20), Expected(0.1, 0.01, (1,) * 20, doubt=0.01)
    assert sure.power(0.05, 500) > unsure.power(0.05, 500)
    assert unsure.needed(0.05, 0.8) > sure.needed(0.05, 0.8)


def test_no_correlation_is_seen_without_changes_or_relations() -> None:
    assert seen_correlation(np.zeros((2, 10)), np.arange(10) // 2) is None
    assert seen_correlation(np.ones((2, 10)), np.zeros(10, dtype=int)) is None
    assert seen_correlation(np.ones((2, 10)), np.arange(10)) is None
    # Items that were not asked, or have no relation, do not count.
    every, relation = changes(np.random.default_rng(0), relations=20, each=10, alike=0.05)
    some = np.where(relation % 2 == 0, every, np.nan)
    without = np.where(relation % 2 == 0, relation, -1)
    assert seen_correlation(some, relation) == seen_correlation(every, without) != seen_correlation(every, relation)
