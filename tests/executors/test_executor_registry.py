"""Executors by name: the built-in one and plug-ins.

Covers ``executors.registry``.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from made_up_task import MadeUpTask
from typer.testing import CliRunner

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.cli.main import app
from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Progress, Work
from forgetmeter.executors.local import LocalExecutor
from forgetmeter.executors.registry import executor_named
from forgetmeter.study.running import run


class Noting:
    """Runs cells here, and notes which."""

    cells: list[str]

    def __init__(self) -> None:
        type(self).cells = []

    def execute(self, work: Work, progress: Progress) -> None:
        LocalExecutor().execute(work, progress)
        self.cells += [f"{cell.variant.recipe} on {cell.task}" for cell in work.cells]


class Unpaid:
    def __init__(self) -> None:
        raise RuntimeError("no account")


@pytest.fixture(autouse=True)
def _plug_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("plug_in")
    module.__dict__.update(Noting=Noting, Unpaid=Unpaid, nothing=dict, MadeUp=MadeUpTask)
    monkeypatch.setitem(sys.modules, "plug_in", module)
    group = "forgetmeter.executors"
    executors = [
        EntryPoint(name, f"plug_in:{target}", group)
        for name, target in {"noting": "Noting", "unpaid": "Unpaid", "none": "nothing", "lost": "Lost"}.items()
    ]
    found = {group: tuple(executors), "forgetmeter.tasks": (EntryPoint("made_up", "plug_in:MadeUp", ""),)}
    monkeypatch.setattr("forgetmeter.specs.registry.plug_ins", lambda group: found.get(group, ()))


def test_one_that_takes_no_number_of_workers_is_refused_with_one(llama_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="plug-in plug_in:Noting takes no number of workers; omit --workers"):
        run(study(llama_folder, tmp_path), executor="noting", workers=2)


def study(llama_folder: Path, tmp_path: Path) -> dict[str, Any]:
    return {"models": [str(llama_folder)], "tasks": ["made_up"], "recipes": ["round_to_nearest:overall:8"],
            "evaluation.noise_floor": False, "output": str(tmp_path / "run")}  # fmt: skip


def test_a_plug_in_runs_the_cells(llama_folder: Path, tmp_path: Path) -> None:
    assert run(study(llama_folder, tmp_path), executor="noting").computed == 2
    assert Noting.cells == ["baseline on made_up", "round_to_nearest:overall:8 on made_up"]


@pytest.mark.parametrize("command", ["run", "compare"])
def test_the_command_line_takes_its_name(llama_folder: Path, tmp_path: Path, command: str) -> None:
    model, other = str(llama_folder), str(tmp_path / "other")
    compress_checkpoint(model, "round_to_nearest:overall:8", other, check=False)
    given = ["run", "--model", model, "--recipes", "baseline"] if command == "run" else ["compare", model, other]
    common = ["--tasks", "made_up", "--out", str(tmp_path / "run"), "--executor", "noting"]
    assert CliRunner().invoke(app, [*given, *common]).exit_code == 0
    assert Noting.cells[0] == "baseline on made_up"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cloud", "unknown executor 'cloud' .allowed: local, ray, noting, unpaid, none, lost"),
        ("unpaid", "executor 'unpaid': its plug-in plug_in:Unpaid fails: RuntimeError: no account"),
        ("none", "executor 'none': its plug-in plug_in:nothing makes an object without the method execute"),
        ("lost", "executor 'lost': its plug-in plug_in:Lost fails: AttributeError: .*'Lost'"),
    ],
)
def test_one_that_cannot_be_loaded_is_refused_before_any_work(
    llama_folder: Path, tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        run(study(llama_folder, tmp_path), executor=name)
    assert not (tmp_path / "run").exists()


def test_the_default_runs_in_this_process() -> None:
    assert type(executor_named("local")) is LocalExecutor


def test_only_the_options_that_an_executor_lacks_are_named() -> None:
    with pytest.raises(UserError, match="^executor local takes no address; omit --address$"):
        executor_named("local", address="auto", time_limit=5.0)
