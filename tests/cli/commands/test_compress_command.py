"""``forgetmeter compress`` in a process of its own."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from quick_commands import forgetmeter
from tiny_models import make_llama

COMMAND = (sys.executable, "-c", "from forgetmeter.cli.main import main; main()", "compress")


def test_a_folder_is_written(llama_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = forgetmeter(
        "compress", str(llama_folder), "l1_unstructured:overall:0.5", "--out", str(out), "--max-shard-size", "50KB"
    )
    before = (llama_folder / "model.safetensors").stat().st_size
    after = sum(file.stat().st_size for file in out.glob("*.safetensors"))
    files = len(list(out.glob("*.safetensors")))
    assert done.stdout.splitlines() == [
        f"{llama_folder} + l1_unstructured:overall:0.5",
        "zeros in its scopes: 7,680 of 15,360 (50.00%); removed: 7,680",
        f"bytes of weights on disk: {before:,} before, {after:,} after ({after / before:.1%}), {files} files",
        "Zeros are stored as floating-point numbers and take as many bytes as before.",
        "checked: the logits of the written folder match those of the compressed model",
        f"written to {out}",
    ]


def test_damping_that_had_to_be_raised_is_shown_once_per_kind_of_layer(llama_folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the inn is thin. " * 200)
    settings = ["--sequences", "1", "--length", "8", "--calibration", str(text), "--no-check"]
    done = forgetmeter(
        "compress", str(llama_folder), "gptq:overall:4:damp=0", "--out", str(tmp_path / "out"), *settings
    )
    shown = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert shown == list(dict.fromkeys(shown))
    assert re.search(r"inputs is not positive definite; it was damped by 0\.\d+ instead of 0$", shown[0])


def test_what_a_killed_process_left_behind_is_removed(llama_folder: Path, tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    start = f".out.partial-{platform.node()}-"
    left, running = (tmp_path / f"{start}{pid}" for pid in (int(dead.stdout), os.getpid()))
    for folder in (left, running, tmp_path / ".out.partial-elsewhere-1"):
        (folder / ".scratch-calibrated").mkdir(parents=True)
    forgetmeter("compress", str(llama_folder), "l1_unstructured:overall:0.5", "--out", str(tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([running.name, ".out.partial-elsewhere-1", "out"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["./none", "l1_unstructured:overall:0.5"], "the folder does not exist"),
        (["gpt 2", "l1_unstructured:overall:0.5"], "is not a valid model"),
        (["MODEL", "n_m:overall:m=5"], "n_m: m=5 does not divide the 32 input units"),
        (["MODEL", "l1_heads:attention:0.9"], "would leave a layer without heads"),
        (["MODEL", "svd:overall:0.5", "--format", "zip"], "--format: unknown format 'zip'"),
    ],
)
def test_a_wrong_request_gives_a_one_line_error(
    llama_folder: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    model, *rest = [str(llama_folder) if each == "MODEL" else each for each in arguments]
    done = forgetmeter("compress", model, *rest, "--out", str(tmp_path / "out"), expect=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing_behind(tmp_path: Path, ended_by: signal.Signals) -> None:
    model, folder = make_llama(), tmp_path / "there"
    model.save_pretrained(folder)
    # Enough steps to outlast the test's wait.
    recipe = "+".join(["svd:overall:0.1"] * 3000)
    process = subprocess.Popen(
        [*COMMAND, str(folder), recipe, "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Shells make background processes ignore Ctrl-C, and the children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".out.partial-*/*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, ended_by)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr.decode()
    assert stderr.decode().splitlines()[-1] == "interrupted: nothing was left behind"
    assert stdout == b""
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
