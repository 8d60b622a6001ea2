"""A run interrupted by SIGKILL or Ctrl-C resumes without losing or repeating finished cells.

Covers ``cli.commands.run_command`` and ``study.running``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest
from quick_commands import forgetmeter
from stored_tables import stored, when_written

pytestmark = pytest.mark.data

COMMAND = (sys.executable, "-c", "from forgetmeter.cli.main import main; main()")
CELLS = 9


def request(model: Path, out: Path) -> list[str]:
    recipes = "l1_unstructured:overall:0.5,l1_unstructured:attention:0.9"
    where = ["--model", str(model), "--out", str(out)]
    return ["run", *where, "--tasks", "piqa,winogrande,boolq", "--recipes", recipes, "--limit", "60"]


@pytest.mark.parametrize(("way", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_killed_run_resumes(llama_folder: Path, tmp_path: Path, way: signal.Signals, code: int) -> None:
    out, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    process = subprocess.Popen(
        [*COMMAND, *request(llama_folder, out)],
        stdout=PIPE,
        stderr=PIPE,
        # Shells make background processes ignore Ctrl-C, and the children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    deadline = time.monotonic() + 120
    while len(when_written(out)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, way)
    _, stderr = process.communicate(timeout=60)
    before = when_written(out)
    assert process.returncode == code
    assert 2 <= len(before) < CELLS
    if way == signal.SIGINT:
        assert stderr.decode().splitlines()[-1].startswith("interrupted: finished cells are stored")

    forgetmeter(*request(llama_folder, out))
    after = when_written(out)
    assert len(after) == CELLS
    assert before.items() <= after.items(), "a finished cell was written again"
    forgetmeter(*request(llama_folder, undisturbed))
    assert stored(out) == stored(undisturbed)


@pytest.mark.slow
def test_two_processes_can_share_a_run(llama_folder: Path, tmp_path: Path) -> None:
    both = [
        subprocess.Popen([*COMMAND, *request(llama_folder, tmp_path / "run")], stdout=PIPE, stderr=PIPE)
        for _ in range(2)
    ]
    for process in both:
        _, stderr = process.communicate(timeout=240)
        assert process.returncode == 0, stderr.decode()
    forgetmeter(*request(llama_folder, tmp_path / "alone"))
    assert stored(tmp_path / "run") == stored(tmp_path / "alone")
