"""Measures what the range of activations means for dynamic int8, and what its arithmetic costs.

For each model, the same items are scored in float32, and under `dynamic_int8:overall` with one range per batch (as by
torch's layers), with each text's own range, and one text at a time.

    python benchmarks/int8.py [--models standard:decoder,standard:encoder] [--task facts:templates=0] [--limit 20]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.forms.int8_weight import DynamicInt8Linear, quantize
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import ClozeAnswer, Item, RequestScores
from forgetmeter.scoring.batch_invariance.limits import Sharing
from forgetmeter.scoring.engine import Engine
from forgetmeter.specs.recipe import parse_recipe


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="standard:decoder,standard:encoder")
    parser.add_argument("--task", default="facts:templates=0")
    parser.add_argument("--limit", type=int, default=20)
    options = parser.parse_args()
    print("| model | read | seconds | mean difference from each text alone, in nats |\n|:---|:---|---:|---:|")
    for name in options.models.split(","):
        measure(load(name), load_task(options.task, limit=options.limit).items)
    print("\n| 1,000 rows, 576 to 1,536 units | ms |\n|:---|---:|")
    multiply()


def measure(loaded: Loaded, items: Sequence[Item]) -> None:
    """Print the rows of one model."""
    plain = Engine(loaded)
    rows = {"float32": scored(plain, items)}
    with Compressor(loaded).applied(parse_recipe("dynamic_int8:overall")):
        # The plain model's engine reads texts together, as if nothing were rounded.
        rows["int8, one range per batch"] = scored(plain, items)
        rows["int8, each text's range"] = scored(Engine(loaded), items)
        alone = Engine(loaded)
        alone._scoring.sharing = alone._scoring.text_sharing = Sharing(0, 0, 0)
        rows["int8, one text at a time"] = scored(alone, items)
    expected = rows["int8, one text at a time"][1]
    for name, (seconds, numbers) in rows.items():
        gap = "" if name == "float32" else f"{(numbers - expected).abs().mean():.6f}"
        print(f"| {loaded.name} | {name} | {seconds:.1f} | {gap} |", flush=True)


def scored(engine: Engine, items: Sequence[Item]) -> tuple[float, torch.Tensor]:
    """Return the seconds of a second scoring, and all log-likelihoods."""
    prepared = engine.prepare(items)
    engine.score(prepared)
    start = time.perf_counter()
    answers = engine.score(prepared)
    seconds = time.perf_counter() - start
    found = [
        answer.candidates if isinstance(answer, ClozeAnswer) else [score.loglikelihood for score in answer]
        for answer in answers
        if isinstance(answer, (ClozeAnswer, RequestScores))
    ]
    return seconds, torch.tensor([number for numbers in found for number in numbers], dtype=torch.float64)


def multiply() -> None:
    """Print how long one layer takes in floating point, by our layer, and by torch's other integer product."""
    weight, inputs = torch.randn(1536, 576), torch.randn(1, 1000, 576)
    layer = DynamicInt8Linear(quantize(weight), None)
    integers, units = torch.randint(0, 128, (1000, 576), dtype=torch.int8), layer.weight.t()
    ways: dict[str, Callable[[], torch.Tensor]] = {
        "float32": lambda: torch.nn.functional.linear(inputs, weight),
        "`DynamicInt8Linear`": lambda: layer(inputs),
        "`torch._int_mm`, without quantizing": lambda: torch._int_mm(integers, units),
    }
    for name, way in ways.items():
        way()
        start = time.perf_counter()
        for _ in range(5):
            way()
        print(f"| {name} | {(time.perf_counter() - start) / 5 * 1000:.1f} |", flush=True)


if __name__ == "__main__":
    main()
