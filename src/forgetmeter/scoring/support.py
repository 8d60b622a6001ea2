"""Whether a model can be asked a task at all; told before any work."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedTokenizerBase

from forgetmeter.models.family import Family
from forgetmeter.records.item import Cloze, Item, WholeText
from forgetmeter.scoring.families.blank_filling import blank_filling
from forgetmeter.scoring.tokens.tokenization import first_token


def unaskable(items: Iterable[Item], family: Family, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return why a model cannot be asked these items, as the end of a sentence about it; ``None`` where it can.

    Single items that a model cannot be asked, such as those whose answer is not one token, are no such reason.

    Args:
        items: A task's items.
        family: The model's family.
        tokenizer: Its tokenizer.
    """
    items = [item for item in items if item.problem is None]
    clozes = [item for item in items if isinstance(item.asks, Cloze)]
    texts = any(isinstance(item.asks, WholeText) for item in items)
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


def _masked(items: list[Item], clozes: list[Item], tokenizer: PreTrainedTokenizerBase) -> str | None:
    if len(clozes) < len(items):
        return (
            "is a masked language model, which fills blanks and cannot score continuations such as those of "
            f"{next(item.id for item in items if item not in clozes)}; ask it probes (lama/..., bear, facts)"
        )
    if clozes and tokenizer.mask_token_id is None:
        return "has a tokenizer without a mask token, so it cannot be asked a cloze"
    if not tokenizer.is_fast and any(item.cloze.among == "candidates" for item in clozes):
        return (
            "has a tokenizer written in Python, which does not say which tokens make up a word, so whole statements "
            "cannot be scored"
        )
    return None
