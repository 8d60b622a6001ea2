"""Times `show`, `findings` and `report` on a large run: by default, 73 variants of 40,000 items each.

The run is synthetic: random answers, of which a growing share is forgotten. Each command runs in its own process, so
time and peak memory are what a user would see. Wall time and processor time are both given, since other work may run on
the machine.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.specs.preset import preset_recipes
from forgetmeter.specs.recipe import BASELINE

COMMANDS = (
    ("show",),
    ("show", "--format", "json"),
    ("findings",),
    ("report",),
    ("forgotten", "--recipe"),
)
_COMMAND = (sys.executable, "-c", "from forgetmeter.cli.main import main; main()")


def right(task: MadeUpTask, recipe: str, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return right answers: a third is known, and each relation forgets a random share of it per recipe."""
    known: NDArray[np.bool_] = np.random.default_rng(1).random(task.items) < 1 / 3
    if recipe == BASELINE:
        return known
    share = random.random() * random.random(max(task.relations, 1))
    kept: NDArray[np.bool_] = np.where(
        random.random(task.items) < share[task.relation], random.random(task.items) < 0.1, known
    )
    return kept


def main() -> None:
    """Make the run, time the commands, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=40_000)
    parser.add_argument("--variants", type=int, default=73, help="including the original")
    parser.add_argument("--relations", type=int, default=41, help="0 for items without relations")
    parser.add_argument("--choices", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="write the synthetic run here and keep it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        location = str(arguments.keep or Path(folder) / "run")
        task = MadeUpTask("made_up", arguments.items, arguments.relations, arguments.choices, popularity=True)
        recipes = [str(recipe) for recipe in preset_recipes("paper/all")][: arguments.variants - 1]
        more = arguments.variants - 1 - len(recipes)
        levels = (f"l1_unstructured:head:{thousandths / 1000}" for thousandths in range(1, 1000))
        recipes += [recipe for recipe in levels if recipe not in recipes][:more]
        if not Path(location).exists():
            write_made_up_run(location, recipes=recipes, right=right, tasks=[task])
        print(f"synthetic: {len(recipes) + 1} variants x {arguments.items:,} items, {arguments.choices} choices each")
        print(f"{'command':40} {'wall':>8} {'processor':>10} {'memory':>9}")
        for name, *given in COMMANDS:
            options = [*given, recipes[-1]] if name == "forgotten" else given
            wall, processor, memory = timed([*_COMMAND, name, location, *options])
            print(f"{' '.join([name, *options]):40} {wall:>6.1f} s {processor:>8.1f} s {memory:>6.0f} MB")


def timed(command: list[str]) -> tuple[float, float, float]:
    """Return a command's wall seconds, processor seconds, and peak memory in MB (10^6 bytes)."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        peak = _peak(process)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.returncode:
        raise SystemExit(f"{command[3:]} failed")
    return time.perf_counter() - start, processor, peak / 1e6


def _peak(process: subprocess.Popen[bytes]) -> int:
    """Return a process's peak memory as recorded by Linux; 0 on other systems."""
    peak = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = status.read_text().splitlines()
        except OSError:
            break
        found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
        peak = max([peak, *found])
        time.sleep(0.05)
    return peak


if __name__ == "__main__":
    main()
