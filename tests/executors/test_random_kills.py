"""A study whose processes are killed again and again, at random moments, ends as an undisturbed one."""

from __future__ import annotations

import os
import random
import time
from itertools import islice
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import pytest
from stored_tables import stored, when_written

from forgetmeter.executors import workers
from forgetmeter.study.running import run

KILLS = int(os.environ.get("FORGETMETER_KILLS", "8"))
"""How often a process is killed: the one that runs the study, or one of its workers (50 by ``make faults``)."""


def start(study: dict[str, Any], number: int) -> None:
    """Run a study with a number of workers, in a process that has imported the libraries but computed nothing."""
    workers.START = get_context("fork")  # type: ignore[assignment]
    run(study, workers=number)


@pytest.mark.timeout(1800)
def test_a_study_killed_at_random_is_that_of_an_undisturbed_run(study: dict[str, Any], tmp_path: Path) -> None:
    levels = (f"l1_unstructured:overall:{level / 1000}" for level in range(1, 1000))
    study["recipes"] = list(islice(levels, 15))
    context = get_context("forkserver")
    context.set_forkserver_preload(["forgetmeter.executors.workers", "forgetmeter.study.preparing"])
    dice, left = random.Random(0), KILLS
    written: dict[Path, int] = {}
    while True:
        process = context.Process(target=start, args=(study, dice.choice([1, 2, 3])))
        process.start()
        while left and process.is_alive():
            left -= kill_one(process, dice)
        process.join(300)
        now = when_written(study["output"])
        again = [path for path, when in written.items() if now[path] != when]
        assert again == [], "a finished cell was computed twice"
        written = now
        if process.exitcode == 0:
            if not left:
                break
            # It was too short for that many kills.
            study["recipes"] += islice(levels, 15)
    alone = study | {"output": str(tmp_path / "alone")}
    run(alone)
    assert stored(study["output"]) == stored(alone["output"])
    assert list(Path(study["output"]).rglob("failures/*")) == []
    assert run(study).computed == 0


def kill_one(process: BaseProcess, dice: random.Random) -> bool:
    """Kill the process or one of its workers after a while, and return whether there was anything to kill."""
    time.sleep(dice.uniform(0.2, 1.5))
    try:
        found = psutil.Process(process.pid)
        # Workers that it leaves end by themselves.
        dice.choice([found, *found.children(recursive=True)]).kill()
    except psutil.NoSuchProcess:
        return False
    return True
