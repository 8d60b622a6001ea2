"""The rule of a margin, in simulations of single items: how often it decides, and how often wrongly.

Covers ``records.stop_rule``.
"""

from __future__ import annotations

import numpy as np
import pytest

from forgetmeter.records.stop_rule import StopRule
from forgetmeter.statistics.stopping_rule import known_drop, parts_of, rule_met

RUNS, ITEMS, MARGIN = 100, 1500, 0.05


def verdict(seed: int, *, lost: float, won: float, checks: int = 1) -> str:
    values = np.random.default_rng(seed).choice([1.0, -1.0, 0.0], p=[lost, won, 1 - lost - won], size=ITEMS)
    ids = [[str(item)] for item in range(ITEMS)]
    before, after = {str(item): bool(value > 0) for item, value in enumerate(values)}, dict[str, bool]()
    rule = StopRule(MARGIN, MARGIN, checks)
    for part in parts_of([[item] for item in range(ITEMS)]):
        after |= {str(item): bool(values[item] < 0) for item in part}
        if met := rule_met(ids, before, after, asked=after, rule=rule):
            return "FAIL" if met.checks else "PASS"
    return "undecided"


def test_a_drop_of_the_margin_is_decided_as_rarely_as_the_interval_is_wrong() -> None:
    found = [verdict(seed, lost=0.1, won=0.05) for seed in range(RUNS)]
    # Each side 2.5%; the standard error of the simulation is 1.6 points.
    assert found.count("PASS") <= RUNS * (0.025 + 2 * 0.016)
    assert found.count("FAIL") <= RUNS * (0.025 + 2 * 0.016)


@pytest.mark.parametrize(("lost", "won", "expected"), [(0.05, 0.05, "PASS"), (0.2, 0.02, "FAIL")])
def test_what_is_far_from_the_margin_is_decided(lost: float, won: float, expected: str) -> None:
    found = [verdict(seed, lost=lost, won=won, checks=10) for seed in range(20)]
    assert found.count(expected) >= 19


def test_a_loss_is_certain_for_all_cells_together() -> None:
    ids = [[str(item)] for item in range(300)]
    before = dict.fromkeys(map(str, range(300)), True)
    after = {str(item): item % 7 > 0 for item in range(300)}
    met = rule_met(ids, before, after, asked=after, rule=StopRule(MARGIN, MARGIN))
    assert met == StopRule(MARGIN, MARGIN)
    assert rule_met(ids, before, after, asked=after, rule=StopRule(MARGIN, MARGIN, checks=1000)) is None


def test_missing_answers_may_be_right_or_wrong() -> None:
    ids = [[str(item)] for item in range(600)]
    before = dict.fromkeys(map(str, range(600)), True)
    after = {str(item): True for item in range(600) if item % 10}
    rule = StopRule(MARGIN, MARGIN)
    assert rule_met(ids, before, after, asked=after, rule=rule) == StopRule(MARGIN, MARGIN, checks=0)
    everything = [item for (item,) in ids]
    assert rule_met(ids, before, after, asked=everything, rule=rule) is None
    assert rule_met(ids, before, after, asked=everything, rule=StopRule(MARGIN)) is None
    drop = known_drop(ids, before, after, asked=everything, aim=MARGIN)
    assert drop.value == 0
    assert drop.high > 0.1
    assert drop.low < 0


def test_a_cell_is_asked_again_for_another_rule() -> None:
    assert StopRule(0.1).covers(0.05, None, 0)
    assert not StopRule(0.05).covers(0.1, None, 0)
    assert not StopRule(0.1).covers(0.05, 0.05, 0)
    assert StopRule(0.05, 0.05, checks=3).covers(0.05, 0.05, 3)
    assert StopRule(0.05, 0.05, checks=3).covers(0.05, 0.05, 0)
    assert not StopRule(0.05, 0.05, checks=4).covers(0.05, 0.05, 3)
    assert not StopRule(0.05, 0.05).covers(0.02, 0.02, 0)
    assert not StopRule(0.05, 0.05).covers(0.01, None, 0)
