"""Measures the cost of threads on a busy machine: the built-in facts on a standard, pass by pass.

While --busy other processes keep the processor busy, the same model is scored on the same facts with one thread and
with two. Waiting threads spin (OMP_WAIT_POLICY=ACTIVE), do not spin (PASSIVE), spin briefly (PASSIVE with a
GOMP_SPINCOUNT), or follow the default. Each setting has its own process, because the policy is read when torch is
imported.

    python benchmarks/threads.py [--busy 3] [--model standard:encoder] [--dtype float32] [--limit N]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

_PASSES = 3
_ASK = f"""
import sys
import time
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.scoring.engine import Engine

model, dtype, limit = sys.argv[1:]
engine = Engine(load(model, dtype=dtype))
prepared = engine.prepare(load_task("facts:templates=0", limit=int(limit) or None).items)
for _ in range({_PASSES}):
    started = time.perf_counter()
    engine.score(prepared)
    print(f"{{time.perf_counter() - started:.2f}}", end=" s  ", flush=True)
print()
"""
_WORK = "while True: sum(range(100_000))"
_SETTINGS: tuple[tuple[int, dict[str, str]], ...] = (
    (2, {"OMP_WAIT_POLICY": "ACTIVE"}),
    (2, {}),
    (2, {"OMP_WAIT_POLICY": "PASSIVE"}),
    (2, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "3000"}),
    (1, {}),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=3, help="number of other processes that keep the processor busy")
    parser.add_argument("--model", default="standard:encoder")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--limit", type=int, default=0, help="facts per relation; 0 for all")
    given = parser.parse_args()
    busy = given.busy
    others = [subprocess.Popen([sys.executable, "-c", _WORK]) for _ in range(busy)]
    try:
        print(f"{os.cpu_count()} cores, {busy} other processes; seconds of {_PASSES} passes")
        for threads, policy in _SETTINGS:
            print(f"{threads} threads, {' '.join(policy.values()) or 'default'}:".ljust(25), end="", flush=True)
            ask = [sys.executable, "-c", _ASK, given.model, given.dtype, str(given.limit)]
            subprocess.run(ask, env=_environment(threads, policy), check=True, stderr=subprocess.DEVNULL)
    finally:
        for other in others:
            other.kill()


def _environment(threads: int, policy: dict[str, str]) -> dict[str, str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "TQDM_DISABLE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        environment.pop(name, None)
    return environment | policy


if __name__ == "__main__":
    main()
