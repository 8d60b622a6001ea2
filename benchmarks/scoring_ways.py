"""Compares ways to score LAMA and BEAR in bfloat16: other sizes of batches, packed weights, other attention.

All score the same statements as ``benchmarks/bench.py``, in alternation, after a first round that is not counted.

    python benchmarks/scoring_ways.py --data DATA [--dtype bfloat16] [--rounds 5]

Prints a Markdown table of the medians.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

from bench import DECODER, bear, lama
from compiling import packed

from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.scoring import packed_weights
from forgetmeter.scoring.engine import Engine

TOKENS = (512, 1024, 2048, 4096)
AS_USUAL, PACKED, PLAIN, EAGER = "as usual", "weights packed", "weights not packed", "attention by plain products"


@contextmanager
def way(name: str, loaded: Loaded) -> Iterator[None]:
    """Have a model work in a way."""
    fewest, kind = packed_weights._FEWEST_TOKENS, loaded.model.config._attn_implementation
    if name in (PACKED, PLAIN):
        packed_weights._FEWEST_TOKENS = {}
    if name == EAGER:
        loaded.model.set_attn_implementation("eager")
    try:
        with packed(loaded) if name == PACKED else nullcontext():
            yield
    finally:
        packed_weights._FEWEST_TOKENS = fewest
        loaded.model.set_attn_implementation(kind)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds LAMA and BEAR")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    tasks = {
        "LAMA": lama(options.data, options.dtype, 160),
        "BEAR": (load(DECODER, dtype=options.dtype), bear(options.data, 2)),
    }
    names = (AS_USUAL, PACKED, PLAIN, EAGER, *map(str, TOKENS))
    engines = {
        (name, task): Engine(loaded, batch_tokens=int(name) if name.isdigit() else None)
        for name in names
        for task, (loaded, _) in tasks.items()
    }
    times: dict[tuple[str, str], list[float]] = {}
    for place in range(1 + options.rounds):
        # In another order each time, as a processor that has just rested is faster.
        for name in random.Random(place).sample(names, len(names)):
            for task, (loaded, items) in tasks.items():
                engine, start = engines[name, task], time.perf_counter()
                # Packing counts, as each variant has new weights.
                with way(name, loaded):
                    engine.score(engine.prepare(items))
                times.setdefault((name, task), []).append(time.perf_counter() - start)
    print(f"{options.dtype}\n\n| way, or most tokens of a batch | {' | '.join(tasks)} |\n|:---|---:|---:|")
    for name in names:
        cells = [f"{median(times[name, task][1:]):.2f} s" for task in tasks]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
