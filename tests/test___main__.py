"""``python -m forgetmeter`` in a folder that may hold a model's code.

Covers ``version``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forgetmeter


def test_modules_in_the_current_folder_are_not_imported(tmp_path: Path) -> None:
    for name in ("typer", "torch"):
        (tmp_path / f"{name}.py").write_text(f"import pathlib\npathlib.Path('{name}-ran').touch()\n")
    command = [sys.executable, "-m", "forgetmeter", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert forgetmeter.__version__ in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["torch.py", "typer.py"]
    # Without the safeguard, Python does import them.
    subprocess.run([sys.executable, "-c", "import typer"], cwd=tmp_path, timeout=120, check=True)
    assert (tmp_path / "typer-ran").exists()


def test_characters_that_the_output_cannot_encode_are_escaped(tmp_path: Path) -> None:
    study = ["--model", "standard:decoder", "--tasks", "facts", "--limit", "1", "--out", "caf\xe9", "--dry-run"]
    command = [sys.executable, "-m", "forgetmeter", "run", *study]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=240, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "into caf\\xe9" in done.stdout
