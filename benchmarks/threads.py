"""Measures the cost of threads on a busy machine: the built-in facts on a standard, pass by pass.

While --busy other processes keep the processor busy, the same model is scored on the same facts with one thread and
with two. Waiting threads spin (OMP_WAIT_POLICY=ACTIVE), do not spin (PASSIVE), or follow the default. Each setting has
its own process, because the policy is read when torch is imported.

    python benchmarks/threads.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

_PASSES = 3
_ASK = f"""
import time
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.scoring.engine import Engine

engine = Engine(load("standard:encoder"))
prepared = engine.prepare(load_task("facts:templates=0").items)
for _ in range({_PASSES}):
    started = time.perf_counter()
    engine.score(prepared)
    print(f"{{time.perf_counter() - started:.2f}}", end=" s  ", flush=True)
print()
"""
_WORK = "while True: sum(range(100_000))"
_SETTINGS = ((2, "ACTIVE"), (2, None), (2, "PASSIVE"), (1, None))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=3, help="number of other processes that keep the processor busy")
    busy = parser.parse_args().busy
    others = [subprocess.Popen([sys.executable, "-c", _WORK]) for _ in range(busy)]
    try:
        print(f"{os.cpu_count()} cores, {busy} other processes; seconds of {_PASSES} passes")
        for threads, policy in _SETTINGS:
            print(f"{threads} threads, {policy or 'default'}:".ljust(22), end="", flush=True)
            subprocess.run([sys.executable, "-c", _ASK], env=_environment(threads, policy), check=True)
    finally:
        for other in others:
            other.kill()


def _environment(threads: int, policy: str | None) -> dict[str, str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "TQDM_DISABLE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    environment.pop("OMP_WAIT_POLICY", None)
    return environment if policy is None else {**environment, "OMP_WAIT_POLICY": policy}


if __name__ == "__main__":
    main()
