"""Measures how time and memory grow with items, choices, length, model size, variants and planned cells.

Each point is measured in a process of its own, with a random Llama of 4 blocks and made-up questions. Memory is the
peak beyond that of the loaded model. Prints a Markdown table; an exponent is the
slope of a straight line through the logarithms, so 1 means proportional.

    python benchmarks/growth.py [NAME...]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from analysis import timed
from transformers import LlamaConfig, LlamaForCausalLM

import forgetmeter
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Item, Request, Requests
from forgetmeter.scoring.engine import Engine

Point = tuple[float, int]
"""Seconds, and bytes beyond those at the start."""


def model(hidden: int = 128) -> Loaded:
    """A random Llama with the standard decoder's vocabulary."""
    tokenizer = forgetmeter.load("standard:decoder").tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=4096,
    )
    return forgetmeter.wrap(LlamaForCausalLM(config), tokenizer)


def questions(number: int, choices: int, words: int) -> list[Item]:
    """Made-up questions, each with a context of its own."""
    dice = random.Random(0)
    names = [chr(97 + first) + chr(97 + second) for first in range(26) for second in range(26)]

    def text(count: int) -> str:
        return " ".join(dice.choices(names, k=count))

    items = []
    for place in range(number):
        context = text(words)
        items.append(Item(f"{place}", "", Requests([Request(context, f" {text(2)}") for _ in range(choices)])))
    return items


def scoring(items: int = 200, choices: int = 4, words: int = 20, hidden: int = 128) -> Point:
    """Prepare and score."""
    torch.set_num_threads(1)
    asked, engine = questions(items, choices, words), Engine(model(hidden))
    engine.score(engine.prepare(asked[:4]))
    return _measured(lambda: engine.score(engine.prepare(asked)))


def variants(number: int) -> Point:
    """A whole run of the standard decoder."""
    with tempfile.TemporaryDirectory() as folder:
        recipes = [f"l1_unstructured:overall:{0.9 * (place + 1) / number:.4f}" for place in range(number)]
        study = {"models": ["standard:decoder"], "recipes": recipes, "tasks": ["facts:templates=0"]}
        return _measured(lambda: forgetmeter.run(study | {"output": f"{folder}/run", "evaluation.limit": 20}))


def planning(cells: int) -> Point:
    """`run --dry-run` with ten tasks, including the start of Python."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = []
        for place in range(10):
            tasks.append(f"{folder}/{place}.jsonl")
            rows = [{"prompt": f"{place} {row} is", "choices": ["a", "b"], "answer": "a"} for row in range(5)]
            Path(tasks[-1]).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        number = cells // len(tasks) - 1
        recipes = [f"l1_unstructured:overall:{0.9 * (place + 1) / number:.6f}" for place in range(number)]
        study = {"models": ["standard:decoder"], "recipes": recipes, "tasks": [f"file:{each}" for each in tasks]}
        file = Path(folder, "study.yaml")
        file.write_text(json.dumps(study | {"output": f"{folder}/run"}))
        command = [sys.executable, "-m", "forgetmeter", "run", str(file), "--dry-run"]
        seconds, _, megabytes = timed(command)
        return seconds, int(megabytes * 1e6)


@dataclass(frozen=True)
class Growth:
    """What is varied."""

    of: str
    measure: Callable[..., Point]
    by: str
    values: Sequence[int]


GROWTHS = (
    Growth("scoring", scoring, "items", (100, 200, 400, 800, 1600)),
    Growth("scoring", scoring, "choices", (2, 4, 8, 16, 32)),
    Growth("scoring", scoring, "words", (25, 50, 100, 200, 400)),
    Growth("scoring", scoring, "hidden", (64, 128, 256, 512)),
    Growth("a run", variants, "number", (4, 8, 16, 32, 64)),
    Growth("planning", planning, "cells", (1_000, 10_000, 100_000)),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only those that vary one of these")
    names = parser.parse_args().names
    if unknown := set(names) - {growth.by for growth in GROWTHS}:
        parser.error(f"nothing varies {', '.join(sorted(unknown))}")
    print("| | varied | from | to | seconds | exponent | MB | exponent |\n|:---|:---|---:|---:|---:|---:|---:|---:|")
    for growth in GROWTHS:
        if names and growth.by not in names:
            continue
        points = [_apart(growth.measure, growth.by, value) for value in growth.values]
        cells = []
        for numbers, unit in zip(zip(*points, strict=True), (1.0, 1e6), strict=True):
            slope = np.polyfit(np.log(growth.values), np.log(np.maximum(numbers, unit / 1000)), 1)[0]
            cells.append(f"{numbers[0] / unit:.2f} to {numbers[-1] / unit:.2f} | {slope:.2f}")
        varied = f"{growth.by} | {growth.values[0]:,} | {growth.values[-1]:,}"
        print(f"| {growth.of} | {varied} | {' | '.join(cells)} |", flush=True)


def _apart(measure: Callable[..., Point], name: str, value: int) -> Point:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (), {name: value})


def _measured(work: Callable[[], object]) -> Point:
    before = _peak()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start, _peak() - before


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
