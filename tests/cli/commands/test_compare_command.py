"""``forgetmeter compare`` in a subprocess, as users run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import make_llama, make_tokenizer

COMMAND = (sys.executable, "-c", "from forgetmeter.cli.main import main; main()")


def forgetmeter(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == expect, done.stderr
    return done


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
        (["standard:decoder", "./none", "--tasks", "facts", "--out", "x"], "--candidates: model './none': the folder"),
        (["standard:decoder", "b c", "--tasks", "facts", "--out", "x"], "--candidates: 'b c' is not a valid model"),
        (
            ["standard:decoder", "standard:decoder", "--tasks", "facts", "--out", "x"],
            "candidate 'standard:decoder' has the same content as its baseline",
        ),
    ],
)
def test_mistakes_are_said_in_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = subprocess.run(
        [*COMMAND, "compare", *arguments], capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert not list(tmp_path.iterdir())
