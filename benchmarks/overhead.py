"""Measures what a cell costs beside its computation: 1,000 cells of a tiny model, each with one question.

The seconds that scoring and compressing took are stored in the run, and are subtracted. What is left is handing out,
judging, storing, and progress. A run of 100 cells is subtracted as well, so that starting Python, Ray and workers and
loading the model do not count.

    python benchmarks/overhead.py [local] [workers] [ray]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import forgetmeter

EXECUTORS: dict[str, dict[str, Any]] = {
    "local": {},
    "workers": {"workers": 2},
    "ray": {"executor": "ray", "workers": 2},
}
FEW, MANY = 100, 1_100


def measured(folder: Path, cells: int, options: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds of a run, and those of its computation, summed over workers."""
    levels = (f"{0.9 * (place + 1) / cells:.5f}" for place in range(cells - 1))
    study: dict[str, Any] = {
        "models": ["standard:decoder"],
        "recipes": [f"l1_unstructured:attention:{level}" for level in levels],
        "tasks": ["facts:templates=0:relations=country_capital"],
        "evaluation.limit": 1,
        "output": str(folder / str(cells)),
    }
    start = time.perf_counter()
    finished = forgetmeter.run(study, **options)
    seconds = time.perf_counter() - start
    if finished.computed != cells or finished.failures:
        raise RuntimeError(f"{finished.computed} of {cells} cells were computed")
    run = forgetmeter.open_run(study["output"]).run
    computing = sum(cell.facts["seconds"] + cell.facts["prepare_seconds"] for cell in run.cells)
    return seconds, computing + sum(variant.facts.get("compress_seconds", 0.0) for variant in run.variants)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("executors", nargs="*", choices=[*EXECUTORS, []], help="by default, all")
    print("| executor | workers | ms per cell | of which computing | overhead |\n|:---|---:|---:|---:|---:|")
    for name in parser.parse_args().executors or EXECUTORS:
        options = EXECUTORS[name]
        workers = options.get("workers", 1)
        with tempfile.TemporaryDirectory() as folder:
            few, many = (measured(Path(folder), cells, options) for cells in (FEW, MANY))
        wall, computing = (1000 * (more - less) / (MANY - FEW) for more, less in zip(many, few, strict=True))
        spent = wall * workers
        print(f"| {name} | {workers} | {spent:.1f} | {computing:.1f} | {spent - computing:.1f} |", flush=True)


if __name__ == "__main__":
    main()
