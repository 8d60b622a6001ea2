"""A gate over a made-up run: what passes, fails, and is undecided.

Covers ``results.gate.measuring``, ``results.gate.answered``, ``results.gate.gating`` and ``results.sizes``.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from made_up_run import MadeUpTask, RunBuilder, write_made_up_run

import forgetmeter
from forgetmeter.errors import UserError
from forgetmeter.records.item import Item, Request, Requests, TaskDescription
from forgetmeter.records.noise import Noise
from forgetmeter.records.outcome import Outcome
from forgetmeter.results.gate.gating import gate
from forgetmeter.results.results import open_run
from forgetmeter.scoring.comparing_engine import ComparingEngine
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.paired import compare_paired
from forgetmeter.statistics.resampling import hull
from forgetmeter.statistics.strict import strict_drop, strict_proportion

PRUNED, ROUNDED = "l1_unstructured:overall:0.5", "round_to_nearest:overall:4"
PLAIN, PROBE, GUESSED = MadeUpTask("plain", 1000), MadeUpTask("probe", 1000, relations=10), MadeUpTask("guessed", 400)


def right(task, recipe, random):
    if task is GUESSED:
        return random.random(task.items) < 0.25
    known = np.arange(task.items) % 10 < 8
    if recipe == PRUNED:
        # Forgets a fifth of what it knew, and all of the first relation.
        known &= np.arange(task.items) % 5 != 0
        known &= task.relation != 0 if task.relations else True
    return known


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    location = str(tmp_path_factory.mktemp("gate") / "run")
    return write_made_up_run(location, recipes=[PRUNED, ROUNDED], right=right, tasks=[PLAIN, PROBE])


def verdicts(found):
    return {each.recipe: [result.verdict for result in each.results] for each in found.variants}


def test_a_variant_passes_and_another_fails(run) -> None:
    found = gate(run, margin="1pt", min_retained="98%", max_size=0.6)
    assert verdicts(found) == {
        PRUNED: ["FAIL", "FAIL", "FAIL", "FAIL", "PASS"],
        ROUNDED: ["PASS", "PASS", "PASS", "PASS", "FAIL"],
    }
    assert (found.verdict, found.variants[0].verdict) == ("FAIL", "FAIL")
    alone = gate(run, margin="1pt", min_retained="98%", recipes=[ROUNDED])
    assert alone.verdict == "PASS"
    assert [each.recipe for each in alone.variants] == [ROUNDED]


def test_what_is_observed_is_what_show_says(run) -> None:
    results = open_run(run)
    found = gate(results, margin="1pt", tasks=["probe"], recipes=PRUNED)
    (check,) = found.variants[0].results
    cell = next(each for each in results.summary.cells if (each.recipe, each.task) == (PRUNED, "probe"))
    assert check.measured.estimate == cell.drop
    assert (check.measured.items, check.measured.relations) == (1000, 10)


def test_each_relation_is_checked(run, tmp_path) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text("version: 1\nconditions:\n- drop: {max: 30pt, tasks: [probe], by: relation}\n")
    found = gate(run, policy=policy, recipes=PRUNED)
    assert [(each.check.relation, each.verdict) for each in found.variants[0].results][:3] == [
        ("R0", "FAIL"),
        ("R1", "PASS"),
        ("R2", "PASS"),
    ]
    answers = open_run(run).run.answers[1]
    mine = answers.relation == 1
    alone = compare_paired(answers.correct[0, mine], answers.correct[1, mine])
    strict = strict_drop(forgotten=alone.forgotten, gained=alone.gained, items=100, confidence=0.95)
    assert found.variants[0].results[1].measured.estimate == hull(alone.drop, strict)
    assert found.verdict == "FAIL"


def test_the_mean_over_all_tasks(run, tmp_path) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text("version: 1\nconditions:\n- drop: {max: 1pt, by: all}\n- accuracy: {min: 70%, by: all}\n")
    drop, accuracy = gate(run, policy=policy, recipes=PRUNED).variants[0].results
    cells = [each for each in open_run(run).summary.cells if each.recipe == PRUNED]
    assert drop.measured.estimate.value == pytest.approx(np.mean([each.drop.value for each in cells]))
    assert accuracy.measured.estimate.value == pytest.approx(np.mean([each.accuracy.value for each in cells]))
    assert (drop.verdict, accuracy.verdict) == ("FAIL", "FAIL")


def test_failures_are_corrected_for_the_number_of_checks(tmp_path) -> None:
    """With 40 checks, one interval in 40 lies beyond the limit by chance."""

    def answers(task, recipe, random):
        known = np.arange(task.items) % 10 < 8
        return known if recipe == "baseline" else known & (random.permutation(task.items) >= task.items * 0.055)

    few = write_made_up_run(str(tmp_path / "few"), recipes=[ROUNDED], right=answers, tasks=[MadeUpTask("t", 400)])
    many = write_made_up_run(
        str(tmp_path / "many"),
        recipes=[ROUNDED],
        right=answers,
        tasks=[MadeUpTask(f"t{place}", 400) for place in range(40)],
    )
    margin = gate(few, margin="2pt").variants[0].results[0]
    assert margin.verdict == "FAIL"
    results = gate(many, margin="2pt").variants[0].results
    alike = [each for each in results if each.measured.estimate.low > 0.02]
    assert alike
    assert any(each.verdict == "INCONCLUSIVE" for each in alike)
    assert all(each.measured.wide.low < each.measured.estimate.low for each in results)


def test_what_the_baseline_does_not_know_cannot_be_lost(tmp_path) -> None:
    location = write_made_up_run(str(tmp_path / "run"), recipes=[ROUNDED], right=right, tasks=[GUESSED])
    found = gate(location, margin="5pt", min_retained="50%", min_accuracy="10%")
    drop, retained, accuracy = found.variants[0].results
    assert (drop.verdict, retained.verdict, accuracy.verdict) == ("UNMEASURED", "UNMEASURED", "PASS")
    assert "the baseline is not better than guessing" in drop.reason
    assert found.verdict == "UNMEASURED"


def test_missing_and_failed_cells_are_unmeasured(tmp_path) -> None:
    builder = RunBuilder(
        str(tmp_path / "run"), models=["org/made-up"], recipes=["baseline", PRUNED], tasks=["plain", "other"]
    )
    builder.store.write_items(TaskDescription("plain", "1", "made up", "accuracy", official_size=0), [])
    builder.failure(PRUNED, "plain", "out of\nmemory")
    found = gate(str(tmp_path / "run"), margin="1pt", max_size="50%")
    assert [each.reason for each in found.variants[0].results] == [
        "the baseline has no answers",
        "the baseline has no answers",
        "its size is not known",
    ]
    assert found.verdict == "UNMEASURED"
    accuracy = gate(str(tmp_path / "run"), min_accuracy="1%", tasks="plain").variants[0].results[0]
    assert accuracy.reason == "it failed: out of memory"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give a condition, such as --margin 1pt"),
        ({"margin": "1pt", "tasks": ["plane"]}, "--margin: unknown task 'plane' in this run; did you mean 'plain'"),
        ({"margin": "1pt", "recipes": ["n_m:overall:n=2:m=4"]}, "unknown recipe"),
        ({"margin": "1pt", "recipes": ["baseline"]}, "compared with the baseline"),
        ({"max_divergence": 0.1}, "--max-divergence: divergence needs a divergence task, and the run has none"),
        ({"margin": 1}, "ambiguous"),
        ({"policy": 3}, "policy is 3"),
        ({"margin": "1pt", "tasks": [3]}, "an item of tasks is 3"),
    ],
)
def test_wrong_requests_are_refused(run, options, words) -> None:
    with pytest.raises(UserError, match=words):
        gate(run, **options)


def test_all_unknown_tasks_are_reported_with_their_lines(run, tmp_path) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text(
        "version: 1\nconditions:\n- drop: {max: 1pt, tasks: [plane, plain, prob]}\n- retained: {min: 98%, tasks: [x]}\n"
        "- divergence: {max: 1}\n"
    )
    with pytest.raises(UserError) as caught:
        gate(run, policy=policy)
    assert [line.partition(" in this run")[0] for line in str(caught.value).splitlines()] == [
        "gate.yaml:3: unknown task 'plane'",
        "gate.yaml:3: unknown task 'prob'",
        "gate.yaml:4: unknown task 'x'",
        "gate.yaml:5: divergence needs a divergence task, and the run has none",
    ]


def test_a_relation_needs_relations(run, tmp_path) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text("version: 1\nconditions:\n- drop: {max: 30pt, tasks: [plain], by: relation}\n")
    with pytest.raises(UserError, match=r"gate.yaml:3: the items of plain have no relations; leave out"):
        gate(run, policy=policy)


def test_a_run_without_relations_cannot_be_checked_by_relation(tmp_path) -> None:
    """Alone it would check nothing, and beside other conditions nobody would notice."""
    location = write_made_up_run(str(tmp_path / "run"), recipes=[ROUNDED], right=right, tasks=[PLAIN])
    policy = tmp_path / "gate.yaml"
    policy.write_text("version: 1\nconditions:\n- drop: {max: 30pt, by: relation}\n- drop: {max: 1pt}\n")
    with pytest.raises(
        UserError, match=r"gate.yaml:3: 'by: relation' needs items with relations, and the run has none"
    ):
        gate(location, policy=policy)


def asked(location, before, after, relations=None, noise=None):
    """Write a run of two variants with given answers (``None`` for none) and return its location."""
    run = RunBuilder(location, models=["org/made-up"], recipes=[BASELINE, ROUNDED], tasks=["t"])
    numbers = range(len(before))
    fields = [{} if relations is None or relations[each] is None else {"relation": relations[each]} for each in numbers]
    requests = Requests([Request("?", " a"), Request("?", " b")])
    run.items("t", [Item(f"t/{each}", f"{each}", requests, ("a", "b"), (0,), fields[each]) for each in numbers])
    for recipe, answers in ((BASELINE, before), (ROUNDED, after)):
        rows = [(each, is_right) for each, is_right in enumerate(answers) if is_right is not None]
        run.outcomes(
            recipe,
            "t",
            [
                Outcome(
                    f"t/{each}", bool(is_right), "a" if is_right else "b", "a", 1 if is_right else 2, 0.0, (-1.0, -2.0)
                )
                for each, is_right in rows
            ],
        )
    if noise is not None:
        run.store.write_noise(run.cell(BASELINE, "t"), noise)
    return location


def test_items_without_a_relation_are_checked_too(tmp_path) -> None:
    relations = ["R"] * 200 + [None] * 200
    location = asked(str(tmp_path / "run"), [True] * 400, [True] * 200 + [False] * 200, relations)
    policy = tmp_path / "gate.yaml"
    policy.write_text("version: 1\nconditions:\n- drop: {max: 5pt, by: relation}\n")
    checks = gate(location, policy=policy).variants[0].results
    assert [(each.check.relation, each.verdict) for each in checks] == [("R", "PASS"), ("", "FAIL")]


def test_an_item_without_a_relation_leaves_the_interval_over_relations(tmp_path) -> None:
    """It would otherwise be over items, a third as wide."""
    relations = [f"R{place // 100}" for place in range(1000)]
    after = [place >= 300 or place % 3 > 0 for place in range(1000)]
    for name, blank in (("all", []), ("blank", [999])):
        given = [None if place in blank else relation for place, relation in enumerate(relations)]
        found = gate(asked(str(tmp_path / name), [True] * 1000, after, given), margin="2pt").variants[0].results[0]
        assert found.verdict == "INCONCLUSIVE"
        assert found.measured.relations == 10


def test_what_was_known_of_a_relation_and_not_asked_is_not_measured(tmp_path) -> None:
    """It would otherwise report the accuracy, which is another question."""
    before = [True] * 100 + [False] * 5
    location = asked(str(tmp_path / "run"), before, [None] * 100 + [False] * 5, ["R"] * 105)
    policy = tmp_path / "gate.yaml"
    policy.write_text("version: 1\nconditions:\n- retained: {min: 90%, by: relation}\n")
    (check,) = gate(location, policy=policy).variants[0].results
    assert (check.verdict, check.measured) == ("UNMEASURED", None)
    assert check.reason == "the baseline knew none of the items that it answered"


@pytest.mark.parametrize(
    ("missing", "lost", "verdict"), [(0, 0, "PASS"), (1, 0, "PASS"), (60, 0, "INCONCLUSIVE"), (60, 200, "FAIL")]
)
def test_missing_answers_may_be_right_or_wrong(tmp_path, missing, lost, verdict) -> None:
    after = [None] * missing + [False] * lost + [True] * (1000 - missing - lost)
    location = asked(str(tmp_path / "run"), [True] * 1000, after)
    found = gate(location, margin="2pt", min_retained="98%", min_accuracy="98%")
    for each in found.variants[0].results:
        assert each.verdict == verdict
        assert (each.measured.missing, each.measured.items) == (missing, 1000 - missing)
    drop = found.variants[0].results[0].measured.estimate
    assert drop.value == lost / (1000 - missing)
    worst = strict_drop(forgotten=missing + lost, gained=0, items=1000, confidence=0.95)
    assert drop.high == pytest.approx(worst.high)
    kept = found.variants[0].results[1].measured.wide
    best = strict_proportion(1000 - lost, 1000, confidence=1 - 0.05 / 3)
    assert kept.high == pytest.approx(best.high)


@pytest.mark.parametrize(("known", "limit"), [(51, "98%")])
def test_few_known_items_do_not_fail_by_luck(tmp_path, known, limit) -> None:
    """Wilson's interval of 48 of 51 ends below 98%, though 8 in 100 such variants retain 98%."""
    location = asked(str(tmp_path / "run"), [True] * known, [False] * 3 + [True] * (known - 3))
    assert gate(location, min_retained=limit).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("items", [276, 590])
def test_few_changes_do_not_pass_by_luck(tmp_path, items) -> None:
    """Of variants that lose 1 point and gain nothing, 6 in 100 change as little as this."""
    lost = 0 if items == 276 else 2
    location = asked(str(tmp_path / "run"), [True] * items, [False] * lost + [True] * (items - lost))
    assert gate(location, margin="1pt").verdict == "INCONCLUSIVE"


def test_noise_above_the_limit_leaves_nothing_to_measure(tmp_path) -> None:
    noise = Noise(1000, 30, 0, 30, 0.1, (1024, 256))
    location = asked(str(tmp_path / "run"), [True] * 1000, [True] * 1000, ["R"] * 1000, noise)
    policy = tmp_path / "gate.yaml"
    policy.write_text(
        "version: 1\nconditions:\n- drop: {max: 1pt}\n- drop: {max: 1pt, by: relation}\n- drop: {max: 1pt, by: all}\n"
        "- retained: {min: 99%}\n- drop: {max: 5pt}\n"
    )
    checks = gate(location, policy=policy).variants[0].results
    assert [each.verdict for each in checks] == ["UNMEASURED"] * 4 + ["PASS"]
    assert checks[0].reason == "scoring the baseline twice changes 3.0% of the answers, more than the limit allows"


def test_a_run_of_baselines_alone_is_refused(tmp_path) -> None:
    location = write_made_up_run(str(tmp_path / "run"), recipes=[], right=right, tasks=[PLAIN])
    with pytest.raises(UserError, match="no variant except the baseline"):
        gate(location, margin="1pt")


def test_it_is_public() -> None:
    assert forgetmeter.gate is gate


def test_texts_without_numbers_are_the_reason(tmp_path, monkeypatch) -> None:
    def broken(engine, prepared, on_advance=None):
        answers = read(engine, prepared, on_advance)
        if engine._baseline is None:
            return answers
        return [replace(answers[0], divergences=(math.nan,) * len(answers[0].divergences)), *answers[1:]]

    read = ComparingEngine._read
    monkeypatch.setattr(ComparingEngine, "_read", broken)
    (tmp_path / "texts.jsonl").write_text("".join(f'{{"text": "This is text number {n}."}}\n' for n in range(9)))
    task, output = f"divergence:file={tmp_path / 'texts.jsonl'}", str(tmp_path / "run")
    finished = forgetmeter.run(
        {"models": ["standard:decoder"], "recipes": [ROUNDED], "tasks": [task], "output": output}
    )
    assert finished.failures == ()
    ((check,),) = (each.results for each in gate(open_run(output), max_divergence=1).variants)
    assert (check.verdict, check.reason) == ("UNMEASURED", "the scores of 1 text are NaN or infinite")
