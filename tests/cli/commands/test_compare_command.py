"""``forgetmeter compare`` in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from quick_commands import forgetmeter
from tiny_models import make_llama, make_tokenizer


def test_a_baseline_and_a_candidate_are_asked_and_shown(llama_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other one"
    make_llama(seed=1).save_pretrained(other)
    make_tokenizer().save_pretrained(other)
    run = str(tmp_path / "run")
    asked = ("--tasks", "facts:templates=0", "--limit", "1", "--out", run)
    assert "2 of 2 cells done" in forgetmeter("compare", str(llama_folder), str(other), *asked).stdout
    shown = json.loads(forgetmeter("show", run, "--format", "json").stdout)
    name = f"candidate({other})"
    assert {cell["recipe"] for cell in shown["cells"]} == {"baseline", name}
    assert name in forgetmeter("forgotten", run, "--recipe", name).stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["./a", "--tasks", "facts", "--out", "x"], "Missing argument 'candidates'"),
        (["standard:decoder", "./none", "--tasks", "facts", "--out", "x"], "candidate: model './none': the folder"),
        (["standard:decoder", "b c", "--tasks", "facts", "--out", "x"], "candidate: 'b c' is not a valid model"),
        (
            ["standard:decoder", "standard:decoder", "--tasks", "facts", "--out", "x"],
            "candidate 'standard:decoder' has the same content as its baseline",
        ),
    ],
)
def test_mistakes_are_said_in_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    assert says in forgetmeter("compare", *arguments, expect=2, cwd=tmp_path).stderr
    assert not list(tmp_path.iterdir())
