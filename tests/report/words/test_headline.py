"""The report's first sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forgetmeter.report.words.headline import headlines
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.retained_curve import CurvePoint, RetainedCurve
from forgetmeter.results.summary import Summary, TaskSummary
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.statistics.paired import Estimate

MODEL, TASK = "org/tiny", "facts:templates=0"
BASELINE = CellSummary(MODEL, "baseline", TASK, 1000, Estimate(0.8, 0.77, 0.82), chance=0.05, p_chance=0.0)
INT8 = replace(
    BASELINE,
    recipe="dynamic_int8:overall",
    drop=Estimate(0.001, -0.002, 0.004),
    p_holm=1.0,
    retained=Estimate(0.99, 0.98, 1.0),
)


def curve(scope: str, *retained: float) -> RetainedCurve:
    points = tuple(
        CurvePoint(f"l1_unstructured:{scope}:{level / 10}", level / 10, level, Estimate(share, share, share))
        for level, share in enumerate(retained, 1)
    )
    return RetainedCurve(MODEL, TASK, "l1_unstructured", scope, points, Estimate(0.5, 0.4, 0.6), None)


def sentences(*cells: CellSummary, curves: tuple[RetainedCurve, ...] = ()) -> str:
    summary = Summary(StudyRecord({}), (), (TaskSummary(TASK, 1000),), cells, (), ())
    (only,) = headlines(summary, curves)
    return " ".join(only.sentences)


@pytest.mark.parametrize(
    ("retained", "said"),
    [
        (
            (1.0, 0.995, 0.96, 0.7),
            "Pruning 20% of BOTH costs 0.5% of that. Pruning 40% of BOTH costs 30.0%.",
        ),
        (
            (0.97, 0.96, 0.3),
            "Pruning 20% of BOTH costs 4.0% of that. Pruning 30% of BOTH costs 70.0%.",
        ),
        ((0.6, 0.2), "Pruning 10% of BOTH already costs 40.0%."),
        # A higher level that retains more again does not count as affordable.
        (
            (0.999, 0.7, 0.999),
            "Pruning 10% of BOTH costs 0.1% of that. Pruning 20% of BOTH costs 30.0%.",
        ),
    ],
)
def test_the_affordable_level(retained, said):
    both = said.replace("BOTH", "attention and feed-forward")
    assert both in sentences(BASELINE, curves=(curve("attention", 0.1), curve("overall", *retained)))


def test_the_widest_scope_is_reported():
    assert "Pruning 10% of feed-forward already costs" in sentences(
        BASELINE, curves=(curve("attention", 0.9), curve("feed_forward", 0.5))
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "8-bit (both) costs nothing measurable (drop 0.1 points, -0.2 to 0.4)."),
        (
            {"drop": Estimate(0.001, -0.002, 0.05)},
            "8-bit (both) forgets 1.0% of that; the change in accuracy is not significant",
        ),
        ({"drop": Estimate(0.1, 0.05, 0.2), "p_holm": 0.001}, "8-bit (both) costs 1.0% of that."),
    ],
)
def test_a_cost_is_zero_only_if_the_interval_supports_it(changed, said):
    assert said in sentences(BASELINE, replace(INT8, **changed))


def test_what_the_baseline_knows_is_stated():
    assert "It knows 80.0% of 1,000 facts (guessing: 5.0%)." in sentences(BASELINE)
    assert "It knows all but 2 of 10,000 facts" in sentences(
        replace(BASELINE, items=10_000, accuracy=Estimate(0.9998, 0.999, 1.0))
    )
    assert "not significantly better than guessing (5.0%)" in sentences(replace(BASELINE, p_chance=0.4))
    assert "1,000 facts." in sentences(replace(BASELINE, chance=None))


@pytest.mark.parametrize(
    ("baseline", "knows"),
    [
        (BASELINE, True),
        (replace(BASELINE, p_chance=0.4), False),
        (replace(BASELINE, accuracy=Estimate(0.01, 0.0, 0.02)), False),
    ],
)
def test_a_baseline_no_better_than_guessing_has_nothing_to_forget(baseline, knows):
    summary = Summary(StudyRecord({}), (), (TaskSummary(TASK, 1000),), (baseline, INT8), (), ())
    (only,) = headlines(summary, (curve("overall", 0.5),))
    assert only.has_knowledge is knows
    assert ("already costs" in " ".join(only.sentences)) is knows
    assert (only.sentences[-1] == "So what variants get right says nothing about what they know.") is not knows
    (alone,) = headlines(replace(summary, cells=(baseline,)), ())
    assert "variants" not in " ".join(alone.sentences)
