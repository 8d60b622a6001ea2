"""Perplexity of a text file, measured rather than judged right or wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from forgetmeter.probes.declaration import Metric, TaskDeclaration
from forgetmeter.probes.on_text.text_file import FILE, WINDOW, check_text_file, text_items
from forgetmeter.records.item import Answer, Item, TextAnswer, WholeText
from forgetmeter.records.outcome import Judgement, Outcome, measured_outcome
from forgetmeter.specs.task_name import TaskName

WORD_PERPLEXITY = "word_perplexity"
BITS_PER_BYTE = "bits_per_byte"


class PerplexityTask:
    """The perplexity of a text file; each paragraph, or each line of a .jsonl file, is an item.

    A line without text is an item with a problem.

    Args:
        limit: Only the first N texts; ``None`` for all.

    Attributes:
        items: The texts, in file order.

    Raises:
        UserError: No file is given, does not exist, or contains no text.
    """

    def __init__(self, name: TaskName, *, limit: int | None = None) -> None:
        self.items, self.description = text_items(
            name, check_text_file(name), WholeText, limit=limit, metric=WORD_PERPLEXITY
        )

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Compute the perplexities over all texts.

        ``word_perplexity``, ``byte_perplexity`` and ``bits_per_byte`` are lm-evaluation-harness's (0.4.13: words are
        separated by white space, bytes are UTF-8). ``token_perplexity`` is per token of the model, not comparable
        between tokenizers. Each outcome has its counts and bits per byte.
        """
        outcomes = [
            _outcome(item, answer)
            for item, answer in zip(self.items, answers, strict=True)
            if isinstance(answer, TextAnswer)
        ]
        total = math.fsum(outcome.loglikelihoods[0] for outcome in outcomes)
        counts = {unit: sum(outcome.metrics[f"{unit}s"] for outcome in outcomes) for unit in ("word", "byte", "token")}
        metrics = {f"{unit}_perplexity": _perplexity(total, count) for unit, count in counts.items() if count}
        if counts["byte"]:
            metrics[BITS_PER_BYTE] = bits_per_byte(total, counts["byte"])
        return Judgement(tuple(outcomes), metrics)


def _outcome(item: Item, answer: TextAnswer) -> Outcome:
    assert isinstance(item.asks, WholeText)
    counts = text_counts(item.asks.text)
    bits = bits_per_byte(answer.loglikelihood, counts["bytes"])
    return measured_outcome(item.id, answer.loglikelihood, {BITS_PER_BYTE: bits, **counts, "tokens": answer.tokens})


def text_counts(text: str) -> dict[str, float]:
    """Return the numbers of words and bytes of a text, as lm-evaluation-harness counts them."""
    return {"words": len(re.split(r"\s+", text)), "bytes": len(text.encode(errors="surrogatepass"))}


def bits_per_byte(loglikelihood: float, size: float) -> float:
    """Return a log-likelihood, in nats, as bits per byte of the text, whose size is not zero."""
    return -loglikelihood / size / math.log(2)


def _perplexity(loglikelihood: float, count: float) -> float:
    try:
        return math.exp(-loglikelihood / count)
    except OverflowError:
        return math.inf


TASK = TaskDeclaration(
    name="perplexity",
    load=PerplexityTask,
    check=check_text_file,
    options={"file": replace(FILE, is_required=True), "window": WINDOW},
    thing="text",
    is_measured=True,
    metrics=(
        Metric(
            WORD_PERPLEXITY,
            "word ppl",
            "perplexity per word: exp of the mean negative log-likelihood per word in nats; lower is better",
            ratio="ratio to the baseline's perplexity on the same text",
            is_perplexity=True,
        ),
        Metric(
            "byte_perplexity",
            "byte ppl",
            "perplexity per byte of UTF-8, which is comparable between models with different tokenizers",
            is_perplexity=True,
        ),
        Metric(
            BITS_PER_BYTE,
            "bits/byte",
            "bits per byte of text: base-2 logarithm of the perplexity per byte",
            weight="bytes",
        ),
        Metric(
            "token_perplexity", "token ppl", "perplexity per token of the model's own tokenizer", is_perplexity=True
        ),
    ),
)
