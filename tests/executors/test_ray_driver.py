"""The process that started a run on a Ray cluster is interrupted or killed: nothing runs on, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster
from stored_tables import stored, when_written

from forgetmeter.study.running import run

pytestmark = [pytest.mark.timeout(900), pytest.mark.faults]
NODE = {"num_cpus": 2, "memory": 8 * 2**30, "object_store_memory": 100 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Cluster]:
    found = Cluster(initialize_head=True, head_node_args=NODE)
    yield found
    found.shutdown()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_nothing_runs_on_and_the_same_command_continues(
    study: dict[str, Any], tmp_path: Path, ray_cluster: Any, sent: signal.Signals
) -> None:
    recipes = [f"l1_unstructured:overall:{level / 20}" for level in range(1, 16)]
    facts: dict[str, Any] = {"models": study["models"], "recipes": recipes, "tasks": ["facts:templates=0"]}
    alone = {**facts, "evaluation.limit": 20, "output": str(tmp_path / "alone")}
    run(alone)
    script = tmp_path / "script.py"
    script.write_text("from forgetmeter.cli.main import main\n\nif __name__ == '__main__':\n    main()\n")
    request = ["run", "--model", study["models"][0], "--tasks", "facts:templates=0", "--recipes", ",".join(recipes)]
    request += ["--limit", "20", "--out", study["output"], "--executor", "ray", "--address", ray_cluster.address]
    process = subprocess.Popen(
        [sys.executable, str(script), *request],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("baseline on"):
            break
    before = when_written(study["output"])
    os.kill(process.pid, sent)
    _, said = process.communicate(timeout=120)
    if sent == signal.SIGINT:
        assert process.returncode == 130, said
        assert said.splitlines()[-1].startswith("interrupted: finished cells are stored")
    deadline = time.monotonic() + 60
    while workers() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert workers() == []
    finished = run({**alone, "output": study["output"]}, executor="ray", address=ray_cluster.address)
    assert 0 < finished.computed < 16
    assert before.items() <= when_written(study["output"]).items(), "a finished cell was written again"
    assert stored(study["output"]) == stored(alone["output"])


def workers() -> list[str]:
    """Return the processes of all clusters of this machine that run cells, or hand them out."""
    found = [each.info["name"] or "" for each in psutil.process_iter(["name"])]
    return [name for name in found if name.startswith(("ray::run_share", "ray::Desk"))]
