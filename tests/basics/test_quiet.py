"""What commands and Python functions write to standard error: nothing of what libraries say."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from models.formats.compressed_tensors_specimens import writer
from tqdm import tqdm
from written_ggufs import write_llama_gguf

from forgetmeter.basics.quiet import quiet
from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.models.checkpoint import open_checkpoint

COMMAND = "from forgetmeter.cli.main import main; main()"
API = """
import sys, forgetmeter
gguf, packed = sys.argv[1:]
for model in (gguf, packed):
    forgetmeter.evaluate(forgetmeter.load(model), "facts:templates=0", limit=1)
"""
RUN = """
import sys, forgetmeter
study = {"models": ["standard:decoder"], "recipes": ["dynamic_int8:overall"], "tasks": ["facts:templates=0"]}
forgetmeter.run(study | {"evaluation.limit": 1, "output": sys.argv[1]})
"""


def stderr(*arguments: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


@pytest.fixture
def models(llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A GGUF that is not converted yet, and packed integers, which compressed-tensors unpacks under bars of its own."""
    pytest.importorskip("compressed_tensors")
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    write_llama_gguf(tmp_path / "model.gguf")
    compress_checkpoint(llama_folder, "round_to_nearest:overall:4", tmp_path / "four", format="compressed-tensors")
    return [str(tmp_path / "model.gguf"), str(tmp_path / "four")]


def test_a_command_writes_its_own_progress_alone(models: list[str], tmp_path: Path) -> None:
    asked = ("--tasks", "facts:templates=0", "--limit", "1", "--out", str(tmp_path / "run"))
    lines = stderr(COMMAND, "run", *(f"--model={model}" for model in models), *asked)
    ours = ("reading ", "about ", "converting ", "loading ", "compressing ", "baseline on ")
    assert [line for line in lines if not line.startswith(ours)] == []
    assert "converting model.gguf to plain weights, once" in lines


def test_packed_zero_points_are_checked_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """compressed-tensors logs with loguru, for each layer, that it cannot know the exact shape on the meta device."""
    loguru = pytest.importorskip("loguru")
    writer("pack-quantized", {"num_bits": 4, "symmetric": False, "strategy": "channel"})(tmp_path)
    loguru.logger.remove()
    loguru.logger.add(sys.stderr)
    capsys.readouterr()
    open_checkpoint(tmp_path).check()
    assert capsys.readouterr().err == ""
    loguru.logger.patch(lambda record: record.update(name="compressed_tensors")).warning("after")
    assert "after" in capsys.readouterr().err


def test_python_functions_write_nothing(models: list[str]) -> None:
    assert stderr(API, *models) == []


def test_a_study_run_from_python_writes_nothing(tmp_path: Path) -> None:
    """It imports transformers, and with it torchao, only while it runs."""
    assert stderr(RUN, str(tmp_path / "run")) == []


def test_what_was_set_before_is_restored(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    def noise() -> None:
        list(tqdm([1], desc="bar", disable=False))
        logging.getLogger("library").warning("logged")
        warnings.warn("warned", stacklevel=1)

    before = (tqdm.__init__, logging.root.manager.disable, list(warnings.filters))
    with pytest.raises(ValueError, match="a problem"), quiet(), quiet():
        noise()
        raise ValueError("a problem")
    assert (capsys.readouterr().err, caplog.messages) == ("", [])
    assert (tqdm.__init__, logging.root.manager.disable, list(warnings.filters)) == before
    with pytest.warns(UserWarning, match="warned"):
        noise()
    assert "bar" in capsys.readouterr().err
    assert caplog.messages == ["logged"]


def test_problems_are_still_logged(caplog: pytest.LogCaptureFixture) -> None:
    with quiet():
        logging.getLogger("library").error("failed")
    with quiet(logging.ERROR):
        logging.getLogger("library").error("failed and raised")
    assert caplog.messages == ["failed"]
