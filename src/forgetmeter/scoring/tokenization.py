"""Requests as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from forgetmeter.errors import UserError
from forgetmeter.records.item import Cloze, Request


@dataclass(frozen=True)
class TokenizedRequest:
    """One request for a decoder.

    Attributes:
        inputs: Token ids that the model reads: context and continuation without its last token.
        targets: Token ids of the continuation; the last ``len(targets)`` positions of ``inputs`` predict them.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]


def tokenize_requests(
    requests: Sequence[Request], tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> list[TokenizedRequest]:
    """Tokenize requests as lm-evaluation-harness does for decoders (``TemplateLM._encode_pair``, 0.4.13).

    Spaces at the end of a context go to the continuation; context and continuation are tokenized together, and
    what follows the length of the context's own tokens is the continuation. An empty context stands for the
    tokenizer's beginning-of-sequence token (end-of-sequence where there is none). What is longer than the
    model's maximum loses tokens on the left.

    Args:
        requests: What to tokenize.
        tokenizer: The model's tokenizer.
        max_length: The most tokens that the model reads.

    Raises:
        UserError: A continuation is empty or longer than the model's maximum.
    """
    prefix = first_token(tokenizer)
    prefix_text = None if prefix is None else tokenizer.decode([prefix])
    context_ids = _encode([request.context.rstrip() for request in requests], tokenizer, prefix_text)
    whole_ids = _encode([request.context + request.continuation for request in requests], tokenizer, prefix_text)
    tokenized = []
    for request, ids, whole in zip(requests, context_ids, whole_ids, strict=True):
        if request.context.strip():
            before, targets = ids, whole[len(ids) :]
        else:
            before, targets = _without_context(request, tokenizer, prefix)
        _check_length(request, targets, max_length)
        sequence = (before + targets)[-(max_length + 1) :]
        tokenized.append(TokenizedRequest(tuple(sequence[:-1]), tuple(targets)))
    return tokenized


def tokenize_pairs(
    requests: Sequence[Request], tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Tokenize requests as lm-evaluation-harness does for encoder-decoders (``TemplateLM._encode_pair``, 0.4.13).

    Context and continuation are tokenized apart, the context with the tokenizer's special tokens and the
    continuation without. Spaces at the end of a context go to the continuation.

    Returns:
        The tokens of each context, the last ``max_length`` of them, and of each continuation.

    Raises:
        UserError: A continuation is empty or longer than the model's maximum.
    """
    prefix = first_token(tokenizer)
    pairs = []
    for request in requests:
        context = request.context.rstrip()
        continuation = request.context[len(context) :] + request.continuation
        targets = tokenizer(continuation, add_special_tokens=False)["input_ids"]
        before = tokenizer(context)["input_ids"] if request.context else [prefix]
        if not request.context and targets[:1] == before:
            targets = targets[1:]
        _check_length(request, targets, max_length)
        pairs.append((tuple(before[-max_length:]), tuple(targets)))
    return pairs


def _check_length(request: Request, targets: Sequence[int], max_length: int) -> None:
    if not targets or len(targets) > max_length:
        shown = request.continuation[:60]
        raise UserError(
            f"the continuation {shown!r} has {len(targets)} tokens; the model needs 1 to {max_length} of them"
        )


def _encode(texts: list[str], tokenizer: PreTrainedTokenizerBase, prefix_text: str | None) -> list[list[int]]:
    # A text that already starts with the beginning-of-sequence token must not be given another one.
    starts = [bool(prefix_text) and text.startswith(prefix_text or "") for text in texts]
    encoded: list[list[int]] = [[] for _ in texts]
    for started in (False, True):
        chosen = [index for index, start in enumerate(starts) if start == started]
        if chosen:
            options = {"add_special_tokens": False} if started else {}
            batch = tokenizer([texts[index] for index in chosen], return_attention_mask=False, **options)
            for index, ids in zip(chosen, batch["input_ids"], strict=True):
                encoded[index] = list(ids)
    return encoded


def _without_context(
    request: Request, tokenizer: PreTrainedTokenizerBase, prefix: int | None
) -> tuple[list[int], list[int]]:
    ids = list(tokenizer(request.context + request.continuation, add_special_tokens=False)["input_ids"])
    if prefix is None:
        raise UserError("a request has no context, and the tokenizer has no token to begin a sequence with")
    return ([prefix], ids) if not ids or ids[0] != prefix else (ids[:1], ids[1:])


def first_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the token that begins a sequence (the one that ends it where there is none), if there is one."""
    return tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id  # type: ignore[no-any-return]


def tokenize_statements(statements: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, ...]]:
    """Tokenize whole statements for a model that reads from left to right.

    Each starts with the tokenizer's beginning-of-sequence token (end-of-sequence where there is none), which is
    put there if the tokenizer does not; special tokens at the end are left out.

    Raises:
        UserError: The tokenizer has neither of these tokens.
    """
    start = first_token(tokenizer)
    if start is None:
        raise UserError("the tokenizer has no token to begin a sequence with, so whole statements cannot be scored")
    special = set(tokenizer.all_special_ids)
    tokenized = []
    for ids in tokenizer(list(statements), return_attention_mask=False)["input_ids"]:
        first = 1 if ids and ids[0] == start else 0
        last = len(ids)
        while last > first and ids[last - 1] in special:
            last -= 1
        tokenized.append((start, *ids[first:last]))
    return tokenized


def answer_token(cloze: Cloze, answer: str, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the one token that an answer is in a cloze's blank, or ``None`` where it is several, or unknown."""
    ids = tokenizer(as_it_stands(cloze, answer), add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return int(ids[0]) if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None


def as_it_stands(cloze: Cloze, answer: str) -> str:
    """Return an answer as it stands in a cloze's blank.

    A space that stands before the blank goes with the answer: many vocabularies hold it as part of the token.
    """
    return f" {answer}" if cloze.before.endswith(" ") else answer
