"""Perplexity of a text file, measured rather than judged right or wrong."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from forgetmeter.errors import UserError
from forgetmeter.probes.declaration import Metric, TaskDeclaration
from forgetmeter.probes.json_lines import read_json_lines
from forgetmeter.records.item import Answer, Item, Problem, TaskDescription, TextAnswer, WholeText
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.specs.task_name import TaskName, TaskOption

WORD_PERPLEXITY = "word_perplexity"
BITS_PER_BYTE = "bits_per_byte"
_VERSION = "1"
_MODELS_WINDOW = "model"
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_EXAMPLE = "perplexity:file=PATH"
WITHOUT_TEXT = "line without text"


class PerplexityTask:
    """The perplexity of a text file; each paragraph, or each line of a .jsonl file, is an item.

    A line without text is an item with a problem.

    Args:
        limit: Only the first N texts; ``None`` for all.

    Attributes:
        items: The texts, in file order.

    Raises:
        UserError: The file is not named, does not exist, or contains no text.
    """

    def __init__(self, name: TaskName, *, limit: int | None = None) -> None:
        path = check_text_file(name.value("file"))
        texts = read_text_file(path)
        window = name.value("window")
        self.items = tuple(
            _item(place, text, None if window == _MODELS_WINDOW else int(window))
            for place, text in enumerate(texts[:limit])
        )
        self.description = TaskDescription(
            name=str(name),
            version=_VERSION,
            source=path.name,
            primary_metric=WORD_PERPLEXITY,
            official_size=len(texts),
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
            metrics[BITS_PER_BYTE] = _bits(total, counts["byte"])
        return Judgement(tuple(outcomes), metrics)


def _item(place: int, text: str | None, window: int | None) -> Item:
    asks = Problem(WITHOUT_TEXT) if text is None else WholeText(text, window)
    digest = hashlib.sha256(f"{window}\n{text}".encode(errors="surrogatepass")).hexdigest()[:16]
    return Item(f"perplexity/{place}", digest, asks)


def _outcome(item: Item, answer: TextAnswer) -> Outcome:
    assert isinstance(item.asks, WholeText)
    text = item.asks.text
    size = len(text.encode(errors="surrogatepass"))
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
            "words": len(re.split(r"\s+", text)),
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


def check_text_file(name: str) -> Path:
    """Return the path of an existing text file.

    Raises:
        UserError: The path is empty, or the file does not exist.
    """
    if not name:
        raise UserError(f"task 'perplexity' needs a text: write {_EXAMPLE}, plain text or a .jsonl with 'text'")
    path = Path(name).expanduser() if name.startswith("~/") else Path(name)
    if not path.is_file():
        raise UserError(f"text file '{name}' does not exist; write {_EXAMPLE}")
    return path


def read_text_file(path: Path) -> tuple[str | None, ...]:
    """Return the non-empty texts of a file, in order, stripped of white space.

    They are the values of ``text`` in a ``.jsonl`` file, ``None`` where it is missing or not text, and otherwise the
    paragraphs, separated by blank lines.

    Raises:
        UserError: The file cannot be read, is not UTF-8 or not JSON Lines, or contains no text.
    """
    found: Iterable[object]
    if path.suffix == ".jsonl":
        lines = read_json_lines(path, fix="write an object with 'text' in each line")
        found = [line.record.get("text") for line in lines]
    else:
        found = _BLANK_LINES.split(_content(path))
    stripped = (text.strip() if isinstance(text, str) else None for text in found)
    texts = tuple(text for text in stripped if text != "")
    if not any(texts):
        raise UserError(f"text file '{path}' contains no text")
    return texts


def _content(path: Path) -> str:
    try:
        # A byte order mark at the start is not text.
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"text file '{path}' is not UTF-8; convert it first") from None
    except OSError as error:
        raise UserError(f"text file '{path}' cannot be read ({error.strerror or error})") from error


TASK = TaskDeclaration(
    name="perplexity",
    load=PerplexityTask,
    check=lambda name: check_text_file(name.value("file")),
    options={
        "file": TaskOption("", "The text file: paragraphs, or 'text' in each line of a .jsonl file.", kind="path"),
        "window": TaskOption(
            _MODELS_WINDOW, "Maximum number of tokens per window; by default, the model's maximum.", kind="number"
        ),
    },
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
        Metric(BITS_PER_BYTE, "bits/byte", "its base-2 logarithm: bits per byte of text"),
        Metric(
            "token_perplexity", "token ppl", "perplexity per token of the model's own tokenizer", is_perplexity=True
        ),
    ),
)
