"""What the items of planned tasks can resolve, from earlier runs or assumptions.

Covers ``results.gate.resolution`` and ``report.gate.resolution_text``.
"""

from __future__ import annotations

import numpy as np
import pytest
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.errors import UserError
from forgetmeter.report.gate.resolution_text import margin_text, resolution_text
from forgetmeter.results.gate.resolution import joint_power, planned_margins, resolutions
from forgetmeter.results.results import open_run
from forgetmeter.results.summary import TaskSummary
from forgetmeter.specs.condition import Condition
from forgetmeter.statistics.strict import strict_drop

ROUNDED = "round_to_nearest:overall:4"
PLAIN, PROBE = TaskSummary("plain", 300), TaskSummary("probe:templates=0", 800, sizes=(40,) * 20)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    def right(task, recipe, random):
        known = np.arange(task.items) % 10 < 8
        return known if recipe == "baseline" else known ^ (np.arange(task.items) % 25 == 0)

    location = str(tmp_path_factory.mktemp("seen") / "run")
    tasks = [MadeUpTask("plain", 200), MadeUpTask("probe", 400, relations=20)]
    return open_run(write_made_up_run(location, recipes=[ROUNDED], right=right, tasks=tasks)).run


def test_assumptions_without_an_earlier_run() -> None:
    plain, probe = resolutions([PLAIN, PROBE])
    assert (plain.expected.flips, plain.expected.relations, plain.variants) == (0.1, 0, 0)
    assert plain.half_width == pytest.approx(0.0389, abs=1e-4)
    assert (probe.expected.correlation, probe.expected.relations) == (0.0125, 20)


def test_an_earlier_run_says_how_many_answers_flip(seen) -> None:
    plain, probe = resolutions([PLAIN, PROBE], seen=seen)
    assert (plain.expected.flips, plain.variants) == (0.04, 1)
    # Its options may be others.
    assert (probe.expected.flips, probe.variants) == (0.04, 1)
    # Each relation changes equally often.
    assert 0 <= probe.expected.correlation < 0.0125
    assert resolutions([PLAIN], seen=seen, flips=0.2)[0].expected.flips == 0.2


def test_few_relations_do_not_count() -> None:
    assert resolutions([TaskSummary("few", 100, sizes=(25,) * 4)])[0].expected.relations == 0


def test_margins_are_planned_by_task_and_by_relation() -> None:
    conditions = [
        Condition("drop", 0.01),
        Condition("drop", 0.1, ("probe",), "relation"),
        Condition("retained", 0.98),
        Condition("drop", 0.01, extent="all"),
    ]
    planned, others = planned_margins(conditions, resolutions([PLAIN, PROBE]))
    assert [(each.of.task, each.of.items, each.margin) for each in planned] == [
        ("plain", 300, 0.01),
        ("probe:templates=0", 800, 0.01),
        ("probe:templates=0, each relation", 800, 0.1),
    ]
    assert others == (conditions[2], conditions[3])
    assert joint_power(planned) < 0.8
    with pytest.raises(UserError, match="unknown task 'plane' in this study; did you mean 'plain'"):
        planned_margins([Condition("drop", 0.01, ("plane",))], resolutions([PLAIN]))


def test_the_mean_over_a_single_task_is_planned_as_that_task() -> None:
    conditions = [Condition("drop", 0.05, extent="all"), Condition("drop", 0.05)]
    (mean, alone), others = planned_margins(conditions, resolutions([PLAIN]))
    assert others == ()
    assert mean.power == alone.power


def test_in_words(seen) -> None:
    text = resolution_text(resolutions([PLAIN, PROBE], seen=None), width=120).plain
    assert "plain                300  10.0%  ±3.9 points" in text
    assert "here assumed" in text
    planned, _ = planned_margins([Condition("drop", 0.05)], resolutions([PLAIN], seen=seen))
    text = margin_text(planned, width=120).plain
    assert text.splitlines()[2].split() == [
        "plain",
        "300",
        "4.0%",
        "±2.6",
        "points",
        "drop",
        "≤",
        "5",
        "points",
        "96%",
        "197",
    ]
    assert "as in 1 variant evaluated earlier" in " ".join(text.split())


def test_all_relations_must_pass_together() -> None:
    """Those with few items fail first; independent ones are simulated."""
    task = TaskSummary("probe", 640, sizes=(140, 200, 300))
    (planned,), _ = planned_margins([Condition("drop", 0.1, extent="relation")], resolutions([task]))
    random = np.random.default_rng(0)
    passed = np.ones(2000, dtype=bool)
    for size in task.sizes:
        drawn = random.multinomial(size, [0.05, 0.05, 0.9], size=2000)
        passed &= [
            strict_drop(forgotten=int(lost), gained=int(won), items=size, confidence=0.95).high <= 0.1
            for lost, won, _ in drawn
        ]
    assert planned.power == pytest.approx(passed.mean(), abs=0.04)
    enough = planned.needed // 3
    (same,), _ = planned_margins(
        [Condition("drop", 0.1, extent="relation")],
        resolutions([TaskSummary("probe", 3 * enough, sizes=(enough,) * 3)]),
    )
    assert same.power >= 0.8


def test_several_margins_must_pass_together() -> None:
    condition = Condition("drop", 0.05)
    (alone,), _ = planned_margins([condition], resolutions([PLAIN]))
    tasks = [TaskSummary(name, alone.needed) for name in ("one", "other")]
    both, _ = planned_margins([condition], resolutions(tasks))
    assert joint_power(both) == pytest.approx(0.8**2, abs=0.01)
    assert both[0].needed > alone.needed
    tasks = [TaskSummary(name, both[0].needed) for name in ("one", "other")]
    assert joint_power(planned_margins([condition], resolutions(tasks))[0]) >= 0.8
    assert "Together, the 2 conditions pass with 64%" in margin_text(both, width=200).plain
