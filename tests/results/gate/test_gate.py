"""A gate over a made-up run: what passes, fails, and cannot be told.

Covers ``results.gate.measuring``, ``results.gate.gating`` and ``results.sizes``.
"""

from __future__ import annotations

import numpy as np
import pytest
from made_up_run import MadeUpTask, RunBuilder, write_made_up_run

import forgetmeter
from forgetmeter.errors import UserError
from forgetmeter.records.item import TaskDescription
from forgetmeter.results.gate.gating import gate
from forgetmeter.results.results import open_run
from forgetmeter.statistics.paired import compare_paired

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
    assert found.variants[0].results[1].measured.estimate == alone.drop
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
        ({"margin": "1pt", "tasks": [3]}, "each of tasks is 3"),
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
    with pytest.raises(UserError, match=r"gate.yaml:3: the items of plain have no relations"):
        gate(run, policy=policy)


def test_a_run_of_baselines_alone_is_refused(tmp_path) -> None:
    location = write_made_up_run(str(tmp_path / "run"), recipes=[], right=right, tasks=[PLAIN])
    with pytest.raises(UserError, match="no variant except the baseline"):
        gate(location, margin="1pt")


def test_it_is_public() -> None:
    assert forgetmeter.gate is gate
