"""Whether a model can be asked a task at all; told before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from forgetmeter.models.family import Family
from forgetmeter.records.item import Item
from forgetmeter.scoring.asked import BLANK_IN_TEXT, NO_UNICODE
from forgetmeter.scoring.blank_filling import FIRST_SENTINEL, SentinelFilling, blank_filling
from forgetmeter.scoring.tokenization import first_token


def unaskable(items: Iterable[Item], family: Family, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return why a model cannot be asked these items, as the end of a sentence about it; ``None`` where it can.

    Single items that a model cannot be asked, such as those whose answer is not one token, are no such reason.

    Args:
        items: A task's items.
        family: The model's family.
        tokenizer: Its tokenizer.
    """
    items = list(items)
    clozes = [item for item in items if item.cloze is not None]
    texts = any(item.text is not None for item in items)
    if texts and family != "decoder":
        kind = "a masked language model" if family == "encoder" else "an encoder-decoder"
        return f"is {kind}; perplexity is asked of decoders only, which read a text from left to right"
    if family == "encoder":
        return _masked(items, clozes, tokenizer)
    if not clozes and not texts:
        return None
    if family == "encoder-decoder" and blank_filling(tokenizer) is None:
        return "has a tokenizer with neither sentinels nor a mask token, so it cannot be asked a cloze"
    if family == "decoder" and first_token(tokenizer) is None:
        return (
            "has a tokenizer without a token to begin a sequence with, so whole statements and texts cannot be scored"
        )
    return None


def blank_token(family: Family, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return the token that stands for a blank in what a model reads; ``None`` for a decoder, or without one."""
    if family == "decoder":
        return None
    has_sentinels = family == "encoder-decoder" and isinstance(blank_filling(tokenizer), SentinelFilling)
    return FIRST_SENTINEL if has_sentinels else tokenizer.mask_token


def text_problems(items: Sequence[Item], blank: str | None) -> list[str | None]:
    """Return for each item why its own texts keep it from being asked, if they do.

    Args:
        items: The items.
        blank: The token that stands for a blank; where a text holds it, it is not known which one is meant.
    """
    # Items of a relation share their choices.
    sound: dict[int, bool] = {}

    def problem(item: Item) -> str | None:
        if item.problem is not None:
            return item.problem
        cloze = () if item.cloze is None else (item.cloze.before, item.cloze.after)
        texts = [*cloze, *(text for one in item.requests for text in (one.context, one.continuation)), item.text or ""]
        choices = id(item.choices)
        sound[choices] = sound[choices] if choices in sound else all(map(_is_unicode, item.choices))
        if not sound[choices] or not all(map(_is_unicode, texts)):
            return NO_UNICODE
        return BLANK_IN_TEXT if blank and any(blank in text for text in cloze) else None

    return [problem(item) for item in items]


def _is_unicode(text: str) -> bool:
    # JSON may escape half of a surrogate pair.
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _masked(items: list[Item], clozes: list[Item], tokenizer: PreTrainedTokenizerBase) -> str | None:
    if len(clozes) < len(items):
        return (
            "is a masked language model, which fills blanks and cannot score continuations such as those of "
            f"{next(item.id for item in items if item.cloze is None)}; ask it probes (lama/..., bear, facts)"
        )
    if clozes and tokenizer.mask_token_id is None:
        return "has a tokenizer without a mask token, so it cannot be asked a cloze"
    if not tokenizer.is_fast and any(item.cloze and item.cloze.among == "candidates" for item in clozes):
        return (
            "has a tokenizer written in Python, which does not say which tokens make up a word, so whole statements "
            "cannot be scored"
        )
    return None
