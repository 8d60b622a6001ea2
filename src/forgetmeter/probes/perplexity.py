"""How well a model foretells a text: nothing is right or wrong here, only more or less likely."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence

from forgetmeter.probes.text_file import check_text_file, read_text_file
from forgetmeter.records.item import Answer, Item, TaskDescription, TextAnswer
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.specs.task_name import MODELS_WINDOW, PERPLEXITY_TASK, TaskName

WORD_PERPLEXITY = "word_perplexity"
BITS_PER_BYTE = "bits_per_byte"
_VERSION = "1"


class PerplexityTask:
    """The perplexity of a text file: each of its paragraphs, or lines of a .jsonl, is an item.

    Args:
        name: The task with its options.
        limit: Only the first so many texts; ``None`` for all.

    Raises:
        UserError: The file is not named, not there, or holds no text.
    """

    def __init__(self, name: TaskName, *, limit: int | None = None) -> None:
        path = check_text_file(name.value("file"))
        texts = read_text_file(path)
        window = name.value("window")
        self._items = tuple(
            _item(place, text, None if window == MODELS_WINDOW else int(window))
            for place, text in enumerate(texts[:limit])
        )
        self._description = TaskDescription(
            name=str(name),
            version=_VERSION,
            source=path.name,
            primary_metric=WORD_PERPLEXITY,
            official_size=len(texts),
        )

    @property
    def description(self) -> TaskDescription:
        """What the task is."""
        return self._description

    @property
    def items(self) -> Sequence[Item]:
        """The texts, in the file's order."""
        return self._items

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Put together the perplexities over all texts.

        ``word_perplexity``, ``byte_perplexity`` and ``bits_per_byte`` are lm-evaluation-harness's (0.4.13: words are
        what stands between white space, bytes those of UTF-8), and ``token_perplexity`` is the same by the model's own
        tokens, which other models' tokens do not compare with. Each outcome has its counts and bits per byte.
        """
        outcomes = [
            _outcome(item, answer)
            for item, answer in zip(self._items, answers, strict=True)
            if isinstance(answer, TextAnswer)
        ]
        total = math.fsum(outcome.loglikelihoods[0] for outcome in outcomes)
        counts = {unit: sum(outcome.metrics[f"{unit}s"] for outcome in outcomes) for unit in ("word", "byte", "token")}
        metrics = {f"{unit}_perplexity": _perplexity(total, count) for unit, count in counts.items() if count}
        if counts["byte"]:
            metrics[BITS_PER_BYTE] = _bits(total, counts["byte"])
        return Judgement(tuple(outcomes), metrics)


def _item(place: int, text: str, window: int | None) -> Item:
    digest = hashlib.sha256(f"{window}\n{text}".encode()).hexdigest()[:16]
    return Item(f"{PERPLEXITY_TASK}/{place}", digest, (), (), (), text=text, window=window)


def _outcome(item: Item, answer: TextAnswer) -> Outcome:
    assert item.text is not None
    size = len(item.text.encode())
    return Outcome(
        item_id=item.id,
        correct=None,
        prediction="",
        gold="",
        rank=None,
        margin=None,
        loglikelihoods=(answer.loglikelihood,),
        metrics={
            BITS_PER_BYTE: _bits(answer.loglikelihood, size),
            "words": len(re.split(r"\s+", item.text)),
            "bytes": size,
            "tokens": answer.tokens,
        },
    )


def _bits(loglikelihood: float, size: float) -> float:
    return -loglikelihood / size / math.log(2)


def _perplexity(loglikelihood: float, count: float) -> float:
    try:
        return math.exp(-loglikelihood / count)
    except OverflowError:
        return math.inf
