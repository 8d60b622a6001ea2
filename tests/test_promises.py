"""Promises of the README that no other test checks.

Tested elsewhere: remote code (``models/safe_loading/test_pretrained.py``), agreement with the references (``scoring``,
``compression``), resuming (``cli/test_kill.py``), hostile texts in the report and the terminal (``hostile_run.py``).
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from stored_tables import stored

import forgetmeter
from forgetmeter.compression.registry import METHODS
from forgetmeter.errors import UserError
from forgetmeter.probes.facts.task import read_fact_file
from forgetmeter.probes.loading import load_task
from forgetmeter.report.formats.show_text import show_text
from forgetmeter.report.written_report import make_report, write_report
from forgetmeter.results.findings.all_findings import FINDINGS
from forgetmeter.results.results import open_run
from forgetmeter.specs.preset import PRESETS


def no_network(*_: object, **__: object) -> None:
    raise AssertionError("something tried to reach the network")


def test_a_study_of_a_folder_uses_no_network(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No telemetry, and nothing is fetched unasked."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket.socket, "connect_ex", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    text = tmp_path / "text.txt"
    text.write_text("The inn is thin.\n\nThe tea is in the inn.\n")
    out = tmp_path / "run"
    finished = forgetmeter.run(
        {
            "models": [str(llama_folder)],
            "recipes": ["l1_unstructured:overall:0.5"],
            "tasks": ["facts:relations=country_capital", f"perplexity:file={text}"],
            "evaluation.limit": 2,
            "output": str(out),
        }
    )
    assert finished.failures == ()
    assert "l1_unstructured" in show_text(open_run(str(out)).summary)
    write_report(make_report(open_run(str(out))), str(out))
    forgetmeter.compress_checkpoint(str(llama_folder), "l1_unstructured:overall:0.5", tmp_path / "half")
    with pytest.raises(AssertionError, match="reach the network"):
        socket.create_connection(("127.0.0.1", 9))


class Proof:
    """Writes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.safetensors", "model.gguf", "tokenizer.json", "vocab.pkl"]
)
def test_no_pickle_is_read_whatever_its_name(llama_folder: Path, tmp_path: Path, name: str) -> None:
    folder, proof = tmp_path / "model", tmp_path / "the-code-ran"
    shutil.copytree(llama_folder, folder)
    if name == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Proof(proof)))
    reference = str(folder / name) if name.endswith(".gguf") else str(folder)
    if name == "vocab.pkl":
        forgetmeter.load(reference)
    else:
        with pytest.raises(UserError) as refused:
            forgetmeter.load(reference)
        assert "\n" not in str(refused.value)
    assert not proof.exists()
    # Otherwise the test above could not fail.
    pickle.loads(pickle.dumps(Proof(proof))).close()
    assert proof.exists()


def test_the_readme_counts_what_there_is() -> None:
    text = " ".join(Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8").split())
    assert f"{len(METHODS.built_in)} compression methods" in text
    assert f"considers {len(PRESETS['advice'].recipes)} recipes" in text
    assert len(FINDINGS) == 10
    assert "test ten claims from the literature" in text
    assert f"{sum(len(relation.facts) for relation in read_fact_file().relations):,} built-in facts" in text


ROOT = Path(__file__).parents[1]


def test_the_page_on_reliability_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py|tests/[\w/]+\.py)`", page)
    assert len(named) > 30
    known = {path.name for path in (ROOT / "tests").rglob("*.py")}
    assert [name for name in named if not (ROOT / name).is_file() and name not in known] == []


def test_nothing_depends_on_the_time_of_day() -> None:
    """A clock that jumps neither ends a cell nor changes a file."""
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"\btime\.time\(|\.now\(|\butcnow\b", path.read_text(encoding="utf-8")), path


JUMPING = """
import random, time
_now = time.time
time.time = lambda: _now() + random.uniform(-1e9, 1e9)
time.time_ns = lambda: int(time.time() * 1e9)
"""


def test_a_clock_that_jumps_changes_no_answer_and_ends_no_cell(tmp_path: Path) -> None:
    """In all processes of a run, at each look."""
    (tmp_path / "sitecustomize.py").write_text(JUMPING)
    command = [sys.executable, "-m", "forgetmeter", "run", "--model", "standard:decoder", "--limit", "3"]
    command += ["--tasks", "facts:templates=0:relations=country_capital", "--recipes", "l1_unstructured:overall:0.5"]
    command += ["--workers", "2", "--time-limit", "200", "--out"]
    for name, paths in (("jumps", [str(tmp_path)]), ("is_right", [])):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        subprocess.run([*command, str(tmp_path / name)], env=environment, check=True, capture_output=True, timeout=250)
    assert stored(tmp_path / "jumps") == stored(tmp_path / "is_right")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".yaml"])
def test_a_line_of_100_megabytes_is_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"huge{suffix}"
    file.write_text('{"prompt": "' + "a" * 100_000_000)
    with pytest.raises(UserError) as refused:
        if suffix == ".yaml":
            forgetmeter.run(file)
        else:
            load_task(f"file:{file}")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_a_folder_that_cannot_be_written_to_is_refused_before_any_work() -> None:
    """Also for an administrator, whom permissions do not stop."""
    study = {"models": ["standard:decoder"], "tasks": ["facts"], "recipes": ["baseline"], "output": "/proc/run"}
    with pytest.raises(UserError, match="'/proc/run' cannot be used"):
        forgetmeter.run(study)
