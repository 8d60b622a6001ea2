"""The facts about a run that its report lists.

Covers ``report.words.guessing_facts``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from made_up_run import write_made_up_run
from written_runs import PRUNED, RECIPES, builder, make_items

from forgetmeter.report.words.run_facts import run_facts
from forgetmeter.results.results import open_run
from forgetmeter.results.summary import Summary
from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import Failure
from forgetmeter.runs.study_record import StudyRecord


def facts_of(run: Run, summary: Summary) -> dict[str, dict[str, str]]:
    return {group.heading: dict(group.facts) for group in run_facts(run, summary)}


def test_tasks_cells_and_failures_of_a_run(full_run: str) -> None:
    opened = open_run(full_run)
    # piqa's items have 1, 1, 1 and 2 right choices of 2; the second choice is right in three of four.
    assert facts_of(opened.run, opened.summary) == {
        "Models": {"org/tiny": "content not recorded"},
        "Tasks": {
            "piqa": "4 items, of 100 in total, source by hand, version 1, guessing 62.5%, majority 75.0%",
            "lama/trex": "3 items, of 100 in total, source by hand, version 1, guessing 50.0%, majority 66.7%",
        },
        "Evaluation": {"schema": "3"},
        "Cells": {"done": "5, in 0.1 minutes of scoring"},
        "Time": {"lama/trex, org/tiny": "3.0 s to score", "piqa, org/tiny": "4.5 s to score"},
        "Failures": {"org/tiny, lama/trex: both: 8-bit": "MemoryError: no room"},
    }


def test_versions_and_missing_cells(tmp_path: Path) -> None:
    run = builder(str(tmp_path / "run"))
    run.items("piqa", make_items("piqa", 3))
    opened = open_run(str(tmp_path / "run"))
    recorded = {"versions": {"torch": "2.7.0"}, "hardware": {"cores": 2, "processor": None}}
    study = StudyRecord({**opened.study, **recorded, "device": "cpu", "batch_tokens": "auto"})
    found = facts_of(replace(opened.run, study=study), opened.summary)
    assert found["Versions"] == {"torch": "2.7.0"}
    assert found["Hardware"] == {"cores": "2", "processor": "none"}
    assert found["Evaluation"] == {"device": "cpu", "batch tokens": "auto", "schema": "3"}
    assert found["Cells"] == {
        "done": "0, in 0.0 minutes of scoring",
        "missing: org/tiny, piqa": f"{len(RECIPES)} recipes; run the study again to do the rest",
        "missing: org/tiny, lama/trex": f"{len(RECIPES)} recipes; run the study again to do the rest",
    }
    assert "Failures" not in found


def test_what_was_not_asked_and_many_failures(tmp_path: Path) -> None:
    opened = open_run(
        write_made_up_run(
            str(tmp_path / "run"), recipes=[PRUNED], right=lambda task, _recipe, random: random.random(task.items) < 0.5
        )
    )
    cells = tuple(replace(cell, dropped={"too long": 1200}) for cell in opened.summary.cells)
    failed = partial(Failure, "id", "org/made-up", PRUNED, "made_up")
    failures = tuple(failed(f"cause {number}\x1b") for number in range(203))
    tasks = tuple(replace(task, filters={"repeated fact": 19}) for task in opened.summary.tasks)
    variants = tuple(replace(each, simulated=True) for each in opened.summary.variants)
    changed = replace(opened.summary, cells=cells, failures=failures, tasks=tasks, variants=variants)
    found = facts_of(opened.run, changed)
    assert "left out: 19 repeated fact" in found["Tasks"]["made_up"]
    assert found["Tasks"]["made_up, org/made-up"] == "not scorable: 1,200 too long"
    assert found["Cells"]["simulated"].startswith(f"{len(variants)} variants")
    assert found["Failures"]["and more"] == "3 failures"
    assert "\x1b" not in "".join(found["Failures"].values())


def test_candidates_have_a_content_too(full_run: str) -> None:
    opened = open_run(full_run)
    identity = {**opened.study["identity"], "model_content": {"org/tiny": "abc", "folder": "def"}}
    run = replace(opened.run, study=StudyRecord({**opened.study, "identity": identity}))
    assert facts_of(run, opened.summary)["Models"] == {"org/tiny": "content abc", "folder": "content def"}
