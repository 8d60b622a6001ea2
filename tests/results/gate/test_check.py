"""The verdict on what was observed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t

from forgetmeter.results.gate.check import GateCheck, Measured, judge, worst
from forgetmeter.specs.condition import Condition
from forgetmeter.statistics.paired import CONFIDENCE, Estimate, paired_drop

DROP = GateCheck(Condition("drop", 0.01), "m", "r", "t", ("t",))
RETAINED = GateCheck(Condition("retained", 0.9), "m", "r", "t", ("t",))


def observed(value, low, high, wide=None, **about):
    estimate = Estimate(value, low, high)
    return Measured(estimate, Estimate(value, *wide) if wide else estimate, **about)


@pytest.mark.parametrize(
    ("check", "limit", "interval", "wide", "verdict"),
    [
        (DROP, 0.01, (0.0, -0.005, 0.009), None, "PASS"),
        (DROP, 0.01, (0.0, -0.005, 0.01), None, "PASS"),
        (DROP, 0.01, (-0.2, -0.3, -0.1), None, "PASS"),
        (DROP, 0.01, (0.0, -0.02, 0.02), None, "INCONCLUSIVE"),
        (DROP, 0.01, (0.05, 0.02, 0.08), None, "FAIL"),
        (DROP, 0.01, (0.05, 0.02, 0.08), (0.005, 0.1), "INCONCLUSIVE"),
        (RETAINED, 0.9, (0.95, 0.91, 0.97), (0.89, 0.98), "PASS"),
        (RETAINED, 0.9, (0.92, 0.89, 0.95), None, "INCONCLUSIVE"),
        (RETAINED, 0.9, (0.8, 0.7, 0.89), None, "FAIL"),
    ],
)
def test_the_whole_interval_decides(check, limit, interval, wide, verdict) -> None:
    assert judge(check, limit, observed(*interval, wide, items=100)).verdict == verdict


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "PASS"),
        (["PASS", "PASS"], "PASS"),
        (["PASS", "INCONCLUSIVE"], "INCONCLUSIVE"),
        (["UNMEASURED", "INCONCLUSIVE"], "UNMEASURED"),
        (["UNMEASURED", "FAIL", "PASS"], "FAIL"),
    ],
)
def test_one_failure_decides(verdicts, expected) -> None:
    assert worst(verdicts) == expected


@pytest.mark.parametrize(("lost", "gained", "margin"), [(0.05, 0.05, 0.03), (0.1, 0.05, 0.02)])
def test_the_number_of_items_that_is_said_decides_with_80_percent(lost, gained, margin) -> None:
    """True whether it will pass or fail; here without correction for several checks."""
    about = paired_drop(forgotten=round(300 * lost), gained=round(300 * gained), items=300)
    check = GateCheck(Condition("drop", margin), "m", "r", "t", ("t",))
    result = judge(check, margin, Measured(about, about, CONFIDENCE, 300))
    assert result.verdict == "INCONCLUSIVE"
    assert result.needed is not None
    random = np.random.default_rng(0)
    decided = 0
    for changed in random.multinomial(result.needed, [lost, gained, 1 - lost - gained], size=400):
        again = paired_drop(forgotten=int(changed[0]), gained=int(changed[1]), items=result.needed)
        decided += judge(check, margin, Measured(again, again, CONFIDENCE, result.needed)).verdict != "INCONCLUSIVE"
    assert decided / 400 == pytest.approx(0.8, abs=0.06)


def test_no_number_of_items_decides_at_the_limit() -> None:
    assert judge(DROP, 0.01, observed(0.01, -0.02, 0.04, items=100)).needed is None
    assert judge(DROP, 0.01, observed(0.0, -0.02, math.inf, items=100)).needed is None
    assert judge(DROP, 0.01, observed(0.0, -0.02, 0.02, items=100, missing=3)).needed is None


@pytest.mark.parametrize("relations", [5, 8, 12])
def test_the_number_of_relations_that_is_said_decides_with_80_percent(relations) -> None:
    """More relations have a smaller t quantile as well; here with normally distributed drops of relations."""
    half = t.ppf(0.975, relations - 1) / np.sqrt(relations)
    result = judge(DROP, 0.01, observed(0.0, -0.02 * half, 0.02 * half, items=1000, relations=relations))
    assert result.needed is not None
    random = np.random.default_rng(0)
    drawn = random.normal(0, 0.02, (4000, result.needed))
    high = drawn.mean(axis=1) + t.ppf(0.975, result.needed - 1) * drawn.std(axis=1, ddof=1) / np.sqrt(result.needed)
    assert (high <= 0.01).mean() == pytest.approx(0.8, abs=0.03)
