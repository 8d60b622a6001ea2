"""``forgetmeter findings`` and ``forgetmeter forgotten`` on a made-up run.

Covers ``cli.commands.findings_command``, ``cli.commands.forgotten_command``, ``report.formats.findings_text`` and
``report.formats.findings_json``.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from made_up_run import MadeUpTask, write_made_up_run
from quick_commands import forgetmeter

from forgetmeter.runs.record_json import record_json

RECIPES = [f"l1_unstructured:{scope}:0.5" for scope in ("attention", "feed_forward", "overall")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    def right(task: MadeUpTask, recipe: str, random: np.random.Generator) -> np.ndarray:
        known = np.random.default_rng(0).random(task.items) < 0.6
        return known if recipe == "baseline" else known & (random.random(task.items) < 0.3 + 0.4 * ("att" in recipe))

    location = str(tmp_path_factory.mktemp("made up") / "run")
    tasks = [MadeUpTask("facts", 240, relations=6, choices=20), MadeUpTask("piqa", 40)]
    return write_made_up_run(location, recipes=RECIPES, right=right, tasks=tasks)


def test_findings(run: str) -> None:
    text = forgetmeter("findings", run).stdout
    assert text.startswith("4 of 10 claims could be tested: ")
    assert "✓ supported     Pruning attention costs less than pruning the same share of feed-forward." in text
    assert "needs structured and unstructured pruning of the head" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_findings_for_programs(run: str) -> None:
    document = json.loads(forgetmeter("findings", run, "--json").stdout)
    found = {finding["name"]: finding for finding in document["findings"]}
    assert len(found) == 10
    tested = found["attention_cheaper_at_equal_sparsity"]
    assert tested["verdict"] == "supported"
    (result,) = tested["results"]
    assert result["effect"]["low"] > 0
    assert result["p_holm"] < 0.05
    assert [task["task"] for task in result["tasks"]] == ["facts", "piqa"]
    assert set(result["tasks"][0]["recipes"]) == set(RECIPES[:2])


def test_forgotten(run: str) -> None:
    text = forgetmeter("forgotten", run, "--recipe", RECIPES[2], "--task", "facts", "--limit", "3").stdout
    lines = text.splitlines()
    assert lines[:2] == ["org/made-up", f"{RECIPES[2]} on facts"]
    assert "are forgotten and" in lines[3]
    assert any(line.startswith("by relation") for line in lines)
    assert any(line.startswith("Forgotten, most confident first · 3 of") for line in lines)
    assert sum("Thing" in line for line in lines) == 3


def test_each_format_lists_the_same_few(run: str) -> None:
    asked = ("forgotten", run, "--recipe", RECIPES[2], "--task", "facts", "--status", "forgotten")
    (ledger,) = json.loads(forgetmeter(*asked, "--format", "json").stdout)["ledgers"]
    surest = sorted(ledger["items"], key=lambda item: -item["margin_before"])[:3]
    (few,) = json.loads(forgetmeter(*asked, "--limit", "3", "--format", "json").stdout)["ledgers"]
    assert [item["margin_before"] for item in few["items"]] == [item["margin_before"] for item in surest]
    for format in ("table", "markdown", "csv"):
        text = forgetmeter(*asked, "--limit", "3", "--format", format).stdout
        listed = [line for line in text.splitlines() if "Thing" in line]
        assert len(listed) == 3
        assert all(
            item["statement"].replace("_", "") in line.replace("\\_", "").replace("_", "")
            for item, line in zip(few["items"], listed, strict=True)
        )


def test_forgotten_for_programs(run: str) -> None:
    rows = list(
        csv.DictReader(io.StringIO(forgetmeter("forgotten", run, "--recipe", RECIPES[2], "--format", "csv").stdout))
    )
    assert len(rows) == 280
    gone = ["forgotten", run, "--recipe", RECIPES[2], "--status", "forgotten", "--relation", "R2"]
    (ledger,) = json.loads(forgetmeter(*gone, "--format", "json", "--task", "facts").stdout)["ledgers"]
    expected = [row["item_id"] for row in rows if row["relation"] == "R2" and row["status"] == "forgotten"]
    assert [item["item_id"] for item in ledger["items"]] == expected
    assert sum(count["forgotten"] for count in ledger["by_relation"]) == ledger["total"]["forgotten"]
    markdown = forgetmeter(*gone, "--format", "markdown").stdout
    assert markdown.count("| forgotten |") == min(20, len(expected))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--recipe", "dynamic_int8:overall"], "unknown recipe 'dynamic_int8:overall' in this run"),
        (["--recipe", "baseline"], "give another recipe"),
        (["--recipe", "nonsense"], "is not a valid compression step"),
        (["--recipe", RECIPES[0], "--task", "boolq"], "unknown task 'boolq' in this run (allowed: facts, piqa)"),
        (["--recipe", RECIPES[0], "--status", "lost"], "unknown status 'lost'"),
        (["--recipe", RECIPES[0], "--format", "latex"], "unknown format 'latex'"),
        (["--recipe", RECIPES[0], "--relation", "P1"], "unknown relation 'P1' in this run"),
        (["--recipe", RECIPES[0], "--relation", "P1", "--task", "piqa"], "the items have no relations"),
        ([], "--recipe"),
    ],
)
def test_a_wrong_request_gives_a_one_line_error(run: str, arguments: list[str], says: str) -> None:
    done = forgetmeter("forgotten", run, *arguments, expect=2)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("command", [["findings"], ["forgotten", "--recipe", "baseline"], ["show"]])
def test_a_missing_run_and_one_of_a_newer_version(command: list[str], tmp_path: Path) -> None:
    name, *options = command
    assert "is not a run" in forgetmeter(name, str(tmp_path / "none"), *options, expect=2).stderr
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "study.json").write_bytes(record_json({"schema_version": 99, "identity": {}}))
    assert "was written by a newer forgetmeter" in forgetmeter(name, str(newer), *options, expect=2).stderr


def test_an_unfinished_run_is_reported_as_unfinished(run: str, tmp_path: Path) -> None:
    location = write_made_up_run(
        str(tmp_path / "run"), recipes=RECIPES, right=lambda task, _recipe, random: random.random(task.items) < 0.5
    )
    for path in list((Path(location) / "variants").glob("*feed*/made_up.parquet")):
        path.unlink()
    assert "Not finished: 3 of 4 cells done" in forgetmeter("findings", location).stdout
    done = forgetmeter("forgotten", location, "--recipe", RECIPES[1], expect=2)
    assert f"the run has no outcomes of '{RECIPES[1]}' on made_up" in done.stderr
