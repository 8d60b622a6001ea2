"""Comparing two runs on the items they share."""

from __future__ import annotations

import numpy as np
import pytest
from hostile_run import HALF, INT8, MOST, write_hostile_run
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.report.side_by_side import side_by_side
from forgetmeter.report.written_report import make_report
from forgetmeter.results.results import open_run
from forgetmeter.runs.record_json import record_json
from forgetmeter.runs.run_store import RunStore
from forgetmeter.statistics.paired import compare_paired

ONE = {"baseline": [True] * 20 + [False] * 4, HALF: [True] * 10 + [False] * 14}
OTHER = {"baseline": [True] * 20 + [False] * 4, HALF: [True] * 16 + [False] * 8, INT8: [True] * 24}


def runs(tmp_path, **options):
    one = open_run(write_hostile_run(str(tmp_path / "one"), ONE))
    return one, open_run(write_hostile_run(str(tmp_path / "other"), OTHER, **options))


def test_the_same_items_are_paired(tmp_path):
    found = side_by_side(*runs(tmp_path))
    (table,) = found.tables
    rows = {row.recipe: row for row in table.rows}
    paired = compare_paired(OTHER[HALF], ONE[HALF])
    assert rows[HALF].difference.value == pytest.approx(6 / 24)
    assert rows[HALF].difference.value == pytest.approx(paired.drop.value)
    assert rows[HALF].p_value == pytest.approx(paired.p_value)
    assert (rows[HALF].difference.low, rows[HALF].difference.high) == pytest.approx((paired.drop.low, paired.drop.high))
    assert rows[HALF].items == 24
    assert rows[INT8].one is None
    assert rows[INT8].difference is None
    assert not found.notes


def test_models_with_different_names_are_compared(tmp_path):
    (table,) = side_by_side(*runs(tmp_path, model="org/large")).tables
    assert (table.one_model, table.other_model) == ("org/tiny", "org/large")
    assert table.rows[0].difference.value == 0


def test_one_model_under_two_names_is_paired_with_itself(tmp_path):
    def results(folder, content):
        run = write_made_up_run(
            str(tmp_path / folder),
            recipes=[HALF],
            right=lambda task, _, __: np.ones(task.items, bool),
            models=list(content),
        )
        study = RunStore(run).read_study().document
        identity = {**study["identity"], "model_content": content}
        listed = {key: value for key, value in study.items() if key != "variants"}
        RunStore(run).folder.write("study.json", record_json({**listed, "identity": identity}))
        return open_run(run)

    one = results("one", {"./models/a": "aaaa", "./models/b": "bbbb"})
    other = results("other", {"./b": "bbbb", "/models/a": "aaaa"})
    pairs = [(table.one_model, table.other_model) for table in side_by_side(one, other).tables]
    assert pairs == [("./models/a", "/models/a"), ("./models/b", "./b")]


def test_runs_without_a_shared_task_are_reported(tmp_path):
    found = side_by_side(*runs(tmp_path, task="facts"))
    assert not found.tables
    assert found.notes == ("The two runs share no task, so they cannot be compared.",)


def test_the_page_shows_both(tmp_path):
    page = make_report(*runs(tmp_path))["report.html"].decode()
    section = page[page.index('id="other"') :]
    assert "25.0 [" in section
    assert "Two runs side by side" in section


def test_a_third_recipe_of_the_first_run_is_kept(tmp_path):
    one = open_run(write_hostile_run(str(tmp_path / "one"), {**ONE, MOST: [False] * 24}))
    other = open_run(write_hostile_run(str(tmp_path / "other"), OTHER))
    assert [row.recipe for row in side_by_side(one, other).tables[0].rows] == ["baseline", HALF, MOST, INT8]


def test_intervals_are_those_of_a_run_with_the_same_answers(tmp_path):
    """Relations are the sampling unit in both, so the same answers have the same interval."""
    task = MadeUpTask(items=240, relations=8)
    before = np.arange(240) % 3 > 0
    after = before & (task.relation > 2)

    def results(name, **right):
        run = write_made_up_run(
            str(tmp_path / name), recipes=list(right), right=lambda _, recipe, __: right[recipe], tasks=[task]
        )
        return open_run(run)

    (table,) = side_by_side(results("one", baseline=after), results("other", baseline=before)).tables
    of_one_run = results("both", **{"baseline": before, HALF: after}).summary.cells[1]
    assert of_one_run.relations == 8
    assert table.rows[0].difference == of_one_run.drop
    assert table.rows[0].p_value == of_one_run.p_value
