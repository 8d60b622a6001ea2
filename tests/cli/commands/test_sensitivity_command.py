"""``forgetmeter sensitivity``: of a model, of its run, and requests that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from quick_commands import forgetmeter

REQUEST = ["standard:decoder", "--tasks", "facts:templates=0", "--limit", "20", "--methods", "l1_unstructured:0.7"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("sensitivity") / "run")


@pytest.fixture(scope="module")
def shown(run: str) -> str:
    return forgetmeter("sensitivity", *REQUEST, "--by", "component", "--out", run).stdout


def test_a_model_is_measured_and_its_run_shown_again(shown: str, run: str) -> None:
    lines = shown.splitlines()
    assert lines[0] == "standard:decoder · facts:templates=0 · 70% pruned (l1_unstructured:0.7)"
    assert [line.split()[0] for line in lines[4:6]] == ["attention", "feed-forward"]
    assert forgetmeter("sensitivity", run).stdout == shown
    document = json.loads(forgetmeter("sensitivity", run, "--json").stdout)
    assert len(document["sensitivities"][0]["parts"]) == 6
    assert "l1_unstructured:layers[0]/attention:0.7" in forgetmeter("show", run).stdout


def test_other_parts_need_another_folder(shown: str, run: str) -> None:
    """A run gains recipes only if the request repeats those that it has."""
    done = forgetmeter("sensitivity", *REQUEST, "--by", "layer", "--out", run, expect=2)
    assert "holds a run of another study" in done.stderr


def test_a_run_of_another_study_is_named_as_such_whatever_its_baseline_knows(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"prompt": "One and one is", "choices": ["two", "six"], "answer": 0}\n')
    run = str(tmp_path / "run")
    recipe = ["--recipes", "l1_unstructured:overall:0.5"]
    forgetmeter("run", "--model", "standard:decoder", "--tasks", f"file:{own}", *recipe, "--out", run)
    done = forgetmeter("sensitivity", *REQUEST, "--out", run, expect=2)
    assert "holds a run of another study" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["standard:decoder"], "'standard:decoder' is not a run; to measure a model, also give --tasks and --out"),
        (["no/such/run"], "'no/such/run' is not a run"),
        ([*REQUEST], "to measure a model, also give --out"),
        ([*REQUEST, "--out", "x", "--by", "roles"], "unknown value of --by 'roles'; did you mean 'role'?"),
        ([*REQUEST, "--out", "x", "--layers", "9"], "--layers must be from 1 to 3, the number of layers"),
        ([*REQUEST, "--out", "x", "--precision", "7"], "--precision"),
    ],
)
def test_a_wrong_request_gives_one_line(arguments: list[str], says: str) -> None:
    done = forgetmeter("sensitivity", *arguments, expect=2)
    assert says in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_options_that_a_run_would_ignore_are_refused(shown: str, run: str) -> None:
    for option in ("--tasks=facts", "--limit=5", "--methods=n_m"):
        done = forgetmeter("sensitivity", run, option, expect=2)
        assert f"so {option.partition('=')[0]} would have no effect" in done.stderr


def test_a_run_without_such_recipes_is_refused(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    forgetmeter("run", "--model", "standard:decoder", "--tasks", "facts:templates=0", "--limit", "1", "--out", out)
    assert "has no recipe that compresses a single part" in forgetmeter("sensitivity", out, expect=2).stderr
