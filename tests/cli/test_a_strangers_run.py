"""Commands on an untrusted run: nothing is executed, written elsewhere or sent to the terminal as control characters.

Covers ``cli.printing``.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hostile_run import HALF, INT8, MOST, write_hostile_run
from typer.testing import CliRunner
from written_runs import rewrite_json

from forgetmeter.cli.main import app
from forgetmeter.runs.tables.metadata import parquet_bytes

# Sets the window title (C0 and C1), and reverses the writing direction.
ESCAPES = "\x1b]0;pwned\x07\x9b31m\u202e"
NAMES = ("models", "recipes", "tasks", "model", "recipe", "task", "error", "source", "torch", "variants", "identity")
SHOWN: list[list[str]] = [
    *(["show", "--format", name] for name in ("table", "csv", "json", "markdown", "latex", "frontier", "shifts")),
    ["findings"],
    ["findings", "--json"],
]


def disfigured(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: disfigured(each) if key in NAMES else each for key, each in value.items()}
    if isinstance(value, list):
        return [disfigured(each) for each in value]
    return value + ESCAPES if isinstance(value, str) and value != "baseline" else value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    right = {"baseline": [True] * 24, HALF: [False] * 24, INT8: [True] * 23 + [False]}
    return Path(write_hostile_run(str(tmp_path / "run"), right, failed={MOST: "no room"}))


def disfigure(folder: Path) -> None:
    for file in folder.rglob("*.json"):
        rewrite_json(file, lambda document: document.update(disfigured(document)))
    for file in folder.rglob("*.parquet"):
        table = pq.read_table(file)
        facts = disfigured(json.loads(table.schema.metadata[b"forgetmeter"]))
        file.write_bytes(parquet_bytes(table, facts))
    # A file that is not at the place of its task would not be read.
    for file in folder.glob("variants/*/lama/trex.*"):
        file.rename(file.with_name(file.name.replace("trex", f"trex{ESCAPES}")))


def assert_harmless(text: str) -> None:
    assert not [sign for sign in text if (sign < " " and sign not in "\n\t") or "\x7f" <= sign < "\xa0"]
    assert "\u202e" not in text


@pytest.mark.parametrize("arguments", SHOWN, ids=" ".join)
def test_names_with_control_characters_do_not_reach_the_terminal(folder: Path, arguments: Sequence[str]) -> None:
    disfigure(folder)
    result = CliRunner().invoke(app, [*arguments, str(folder)])
    assert result.exit_code == 0, result.exception
    assert "pwned" in result.output or arguments[0] == "findings"
    assert_harmless(result.output)
    if "json" in " ".join(arguments):
        json.loads(result.output)


@pytest.mark.parametrize("format", ["table", "csv", "json", "markdown"])
def test_forgotten_items_with_control_characters_do_not_either(folder: Path, format: str) -> None:
    disfigure(folder)
    result = CliRunner().invoke(app, ["forgotten", str(folder), "--recipe", INT8, "--format", format])
    assert_harmless(result.output)


def test_a_name_with_parent_folders_reads_and_writes_nothing_outside(folder: Path) -> None:
    outside = folder.parent / "outside.parquet"
    outside.write_bytes(next(folder.rglob("items/**/*.parquet")).read_bytes())

    def lead_outside(study: dict[str, Any]) -> None:
        study["identity"]["models"].append("org/../../x")
        study["variants"] += [
            {"id": f"../../outside{place or ''}", "model": "org/../../x", "recipe": recipe}
            for place, recipe in enumerate(study["identity"]["recipes"])
        ]
        study["identity"]["tasks"] += ["../../outside", "/etc/passwd"]

    rewrite_json(folder / "study.json", lead_outside)
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
    for command in (["show"], ["findings"], ["forgotten", "--recipe", HALF]):
        result = CliRunner().invoke(app, [command[0], str(folder), *command[1:]])
        assert result.exit_code == 0, result.exception
    report = folder.parent / "report.html"
    result = CliRunner().invoke(app, ["report", str(folder), "--out", str(report)])
    after = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
    made = [path for path in after if path not in before and report not in (path, *path.parents)]
    assert not made
    assert {path: after[path] for path in before} == before


class Payload:
    """Runs a command when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_pickles_in_a_file_are_never_loaded(folder: Path) -> None:
    mark = folder.parent / "mark"
    secret = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Payload(mark)),
    }
    for file in folder.rglob("*.parquet"):
        table = pq.read_table(file)
        fields = [field.with_metadata(secret) for field in table.schema]
        schema = table.schema
        for place, field in enumerate(fields):
            schema = schema.set(place, field)
        pq.write_table(table.cast(schema), file)
    for command in (["show"], ["findings"], ["forgotten", "--recipe", HALF]):
        CliRunner().invoke(app, [command[0], str(folder), *command[1:]])
    assert not mark.exists()


def test_a_relation_with_control_characters_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SVG cannot represent them, and the drawing process would crash."""
    monkeypatch.setattr("hostile_run.RELATION", f"born{ESCAPES}\x00\ufffe in")
    right = {"baseline": [True] * 30, HALF: [False] * 20 + [True] * 10, INT8: [True] * 29 + [False]}
    location = write_hostile_run(str(tmp_path / "run"), right)
    result = CliRunner().invoke(app, ["report", location])
    assert result.exception is None, result.output
    for file in Path(location).rglob("*.svg"):
        text = file.read_text()
        assert "\x1b" not in text
        assert "\ufffe" not in text
    assert "born" in "".join(file.read_text() for file in Path(location).rglob("*.svg"))
