"""No process of a run imports from the current folder, which may be that of a model that somebody else made.

Covers ``basics.safe_path``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("pickle", "socket", "torch", "transformers", "jinja2", "multiprocessing", "colorsys", "forgetmeter", "ray")


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Return a command that is a file of its own, as installed ones are; only then is the current folder left out."""
    file = tmp_path / "bin" / "forgetmeter"
    file.parent.mkdir()
    file.write_text("from forgetmeter.cli.main import main\n\nif __name__ == '__main__':\n    main()\n")
    return [sys.executable, str(file)]


@pytest.fixture
def evil(llama_folder: Path, tmp_path: Path) -> Path:
    """Return the folder of a model with modules in it that write a file when they are imported."""
    folder = shutil.copytree(llama_folder, tmp_path / "evil")
    rows = [f'{{"prompt": "{number} is", "choices": ["odd", "even"], "answer": "odd"}}\n' for number in (1, 3)]
    (folder / "questions.jsonl").write_text("".join(rows))
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'the-code-ran')!r}, 'a').write({name!r})\n")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "options", [["--workers", "2"], ["--executor", "ray", "--workers", "1"]], ids=["workers", "ray"]
)
def test_no_process_imports_from_the_current_folder(
    command: list[str], evil: Path, tmp_path: Path, options: list[str]
) -> None:
    request = ["run", "--model", ".", "--tasks", "file:questions.jsonl", "--recipes", "l1_unstructured:overall:0.3"]
    done = subprocess.run(
        [*command, *request, "--out", str(tmp_path / "run"), *options],
        cwd=evil,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not (tmp_path / "the-code-ran").exists(), (tmp_path / "the-code-ran").read_text()
    assert done.returncode == 0, done.stderr


def test_the_code_would_run_otherwise(evil: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", "import pickle"], cwd=evil, check=True, env=dict(os.environ))
    assert (tmp_path / "the-code-ran").read_text() == "pickle"
