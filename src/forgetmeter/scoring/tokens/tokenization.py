"""Tokenization of requests and statements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase

from forgetmeter.errors import UserError
from forgetmeter.records.item import Cloze, Request

NO_TOKENS = "an answer has no tokens"
SPANS_CONTEXT = "a token is part of both the context and an answer"
ANSWER_TOO_LONG = "an answer is longer than the model reads"
UNENCODABLE = "the tokenizer has no tokens for a text"
NO_CONTEXT = "no context, and the tokenizer has no token to begin a sequence with"
_PROBES = 64

_SPACES = "Ġ▁ "
"""How vocabularies write a space: byte-level, SentencePiece and plain."""
_LINES = "Ċčĉ"
"""How byte-level vocabularies write line breaks and tabs."""
_TWO_WORDS = re.compile(rf"[^\s{_SPACES}{_LINES}][{_SPACES}]")

_added: WeakKeyDictionary[PreTrainedTokenizerBase, Added] = WeakKeyDictionary()
_by_word: WeakKeyDictionary[PreTrainedTokenizerBase, bool] = WeakKeyDictionary()


class Added(NamedTuple):
    """Tokens that a tokenizer adds to every text, such as a beginning and an end of sequence.

    Attributes:
        before: Those before the text.
        after: Those after it; empty for most decoders.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def text(self, tokens: Sequence[int]) -> Sequence[int]:
        """Return the tokens of the text alone."""
        tokens = self.without_after(tokens)
        return tokens[len(self.before) :] if tuple(tokens[: len(self.before)]) == self.before else tokens

    def without_after(self, tokens: Sequence[int]) -> Sequence[int]:
        """Return the tokens without a trailing ``after``."""
        last = len(tokens) - len(self.after)
        return tokens[:last] if last >= 0 and tuple(tokens[last:]) == self.after else tokens


def is_by_word(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether no token of the vocabulary holds parts of two words, so that a word's tokens depend on it alone."""
    if tokenizer not in _by_word:
        _by_word[tokenizer] = not any(map(_TWO_WORDS.search, tokenizer.get_vocab()))
    return _by_word[tokenizer]


@dataclass(frozen=True)
class TokenizedRequest:
    """One request.

    Attributes:
        inputs: Token ids the model reads: for a decoder, context and continuation without the last token; for an
            encoder-decoder, the context.
        targets: Token ids of the continuation; in a decoder, the last ``len(targets)`` positions of ``inputs`` predict
            them.
        is_cut: Whether the context was truncated at its start to fit the model.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    is_cut: bool = False


def tokenize_requests(
    requests: Sequence[Request], tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> list[TokenizedRequest] | str:
    """Tokenize an item's requests as lm-evaluation-harness does for decoders (``TemplateLM._encode_pair``, 0.4.13).

    Trailing spaces of the context move to the continuation; both are tokenized together, and the tokens after the
    length of the tokenized context are the continuation. An empty context becomes the beginning-of-sequence token (if
    there is none, end-of-sequence). Sequences that are too long are truncated on the left. Unlike in
    lm-evaluation-harness, end tokens that the tokenizer adds to every text are removed: they would be read between
    context and continuation, and scored at the end in place of the continuation's first token.

    Returns:
        The requests; or why the item cannot be scored: a continuation has no tokens or more than ``max_length``, a
        token spans the end of the context, so that the tokens read would represent a different text, or the context
        is empty and the tokenizer has neither of these tokens.
    """
    prefix = first_token(tokenizer)
    prefix_text = None if prefix is None else tokenizer.decode([prefix])
    context_ids = _encode([request.context.rstrip() for request in requests], tokenizer, prefix_text)
    whole_ids = _encode([request.context + request.continuation for request in requests], tokenizer, prefix_text)
    tokenized = []
    for request, ids, whole in zip(requests, context_ids, whole_ids, strict=True):
        if request.context.strip():
            before, targets = ids, whole[len(ids) :]
        elif prefix is None:
            return NO_CONTEXT
        else:
            before, targets = _without_context(request, tokenizer, prefix)
        if reason := _unfit(targets, max_length):
            return reason
        if request.context.strip() and (whole[: len(ids)] != ids or _unknown_spans_context(request, ids, tokenizer)):
            return SPANS_CONTEXT
        sequence = before + targets
        kept = sequence[-(max_length + 1) :]
        tokenized.append(TokenizedRequest(tuple(kept[:-1]), tuple(targets), len(kept) < len(sequence)))
    return tokenized


def tokenize_pairs(
    requests: Sequence[Request], tokenizer: PreTrainedTokenizerBase, *, max_length: int, max_written: int | None = None
) -> list[TokenizedRequest] | str:
    """Tokenize an item's requests as lm-evaluation-harness does for encoder-decoders (``_encode_pair``, 0.4.13).

    Context and continuation are tokenized separately, the context with special tokens and the continuation without.
    Trailing spaces of the context move to the continuation.

    Returns:
        The requests, each with the last ``max_length`` tokens of its context; or why the item cannot be scored, as in
        ``tokenize_requests``, but with the limit ``max_written`` if it is given.
    """
    prefix = first_token(tokenizer)
    pairs = []
    for request in requests:
        if request.context:
            before = list(tokenizer(request.context.rstrip())["input_ids"])
        elif prefix is None:
            return NO_CONTEXT
        else:
            before = [prefix]
        continuation = request.context[len(request.context.rstrip()) :] + request.continuation
        targets = list(tokenizer(continuation, add_special_tokens=False)["input_ids"])
        if not request.context and targets[:1] == before:
            targets = targets[1:]
        if reason := _unfit(targets, max_written or max_length):
            return reason
        kept = before[-max_length:]
        pairs.append(TokenizedRequest(tuple(kept), tuple(targets), len(kept) < len(before)))
    return pairs


def tokenize_contexts(
    contexts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, keeps_end: bool
) -> list[tuple[int, ...]]:
    """Tokenize contexts after which text is written (``HFLM.tok_batch_encode`` of lm-evaluation-harness 0.4.13).

    An empty context becomes the beginning-of-sequence token (if there is none, end-of-sequence; if neither, it stays
    empty).

    Args:
        keeps_end: Whether end tokens that the tokenizer adds to every text are kept, as for an encoder. A decoder would
            take them for the end of its answer.
    """
    prefix = first_token(tokenizer)
    if keeps_end:
        encoded = [list(tokenizer(context)["input_ids"]) for context in contexts]
    else:
        encoded = _encode(list(contexts), tokenizer, None if prefix is None else tokenizer.decode([prefix]))
    return [tuple(ids) if ids or prefix is None else (prefix,) for ids in encoded]


def _unknown_spans_context(request: Request, context: list[int], tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the context ends with the unknown token and, with the continuation, one token covers both."""
    if context[-1] != tokenizer.unk_token_id or not tokenizer.is_fast:
        return False
    border = len(request.context.rstrip())
    text = request.context + request.continuation
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return any(start < border < end for start, end in offsets)


def _unfit(targets: Sequence[int], max_length: int) -> str | None:
    if not targets:
        return NO_TOKENS
    return ANSWER_TOO_LONG if len(targets) > max_length else None


def _encode(texts: list[str], tokenizer: PreTrainedTokenizerBase, prefix_text: str | None) -> list[list[int]]:
    # A text that already starts with the beginning-of-sequence token must not get another one.
    starts = [bool(prefix_text) and text.startswith(prefix_text or "") for text in texts]
    encoded: list[list[int]] = [[] for _ in texts]
    added = added_tokens(tokenizer)
    for started in (False, True):
        chosen = [index for index, start in enumerate(starts) if start == started]
        if chosen:
            options = {"add_special_tokens": False} if started else {}
            batch = tokenizer([texts[index] for index in chosen], return_attention_mask=False, **options)
            for index, ids in zip(chosen, batch["input_ids"], strict=True):
                encoded[index] = list(ids if started else added.without_after(ids))
    return encoded


def _without_context(request: Request, tokenizer: PreTrainedTokenizerBase, prefix: int) -> tuple[list[int], list[int]]:
    ids = list(tokenizer(request.context + request.continuation, add_special_tokens=False)["input_ids"])
    return ([prefix], ids) if not ids or ids[0] != prefix else (ids[:1], ids[1:])


def first_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the beginning-of-sequence token, else the end-of-sequence token, else ``None``."""
    return tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id  # type: ignore[no-any-return]


def beginning(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the tokens before a whole statement or text: those that the tokenizer adds, else ``first_token``."""
    first = first_token(tokenizer)
    return added_tokens(tokenizer).before or (() if first is None else (first,))


def added_tokens(tokenizer: PreTrainedTokenizerBase) -> Added:
    """Return the tokens that a tokenizer adds to every text."""
    if tokenizer not in _added:
        _added[tokenizer] = _find_added_tokens(tokenizer)
    return _added[tokenizer]


def is_unencodable(error: Exception) -> bool:
    """Return whether a fast tokenizer raised this because it has no tokens for some letters or words of a text."""
    # The library raises bare exceptions.
    return type(error) is Exception


def _find_added_tokens(tokenizer: PreTrainedTokenizerBase) -> Added:
    special = set(tokenizer.all_special_ids)
    ordinary = (token for token in range(len(tokenizer)) if token not in special)
    # "a" works for most tokenizers; some have few letters.
    for text in ("a", *(tokenizer.decode([token]) for token in islice(ordinary, _PROBES))):
        try:
            plain = tokenizer(text, add_special_tokens=False)["input_ids"]
            whole = tokenizer(text)["input_ids"]
        except Exception as error:
            if not is_unencodable(error):
                raise
            continue
        starts = [start for start in range(len(whole) - len(plain) + 1) if whole[start : start + len(plain)] == plain]
        if plain and starts:
            return Added(tuple(whole[: starts[-1]]), tuple(whole[starts[-1] + len(plain) :]))
    return Added()


def tokenize_statements(statements: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, ...]]:
    """Tokenize whole statements for a model that reads from left to right.

    Each starts with the tokenizer's ``beginning``, which is not scored. All other tokens are the statement's own,
    unknown tokens and special tokens written in it included; the end tokens that the tokenizer adds are removed.

    Raises:
        UserError: The tokenizer has no token to begin a statement with.
    """
    start, added = beginning(tokenizer), added_tokens(tokenizer)
    if not start:
        raise UserError(
            "the tokenizer has neither a beginning- nor an end-of-sequence token, so whole statements cannot be "
            "scored; set bos_token in its tokenizer_config.json, or choose other tasks"
        )
    encoded = tokenizer(list(statements), return_attention_mask=False)["input_ids"]
    return [(*start, *added.text(ids)) for ids in encoded]


def answer_token(cloze: Cloze, answer: str, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return an answer's token in a cloze's blank, or ``None`` if it has several tokens or is unknown."""
    text = with_leading_space(cloze, answer)
    ids = tokenizer(text, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return int(ids[0]) if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None


def with_leading_space(cloze: Cloze, answer: str) -> str:
    """Return an answer with the space before the blank, if any: many vocabularies make it part of the token."""
    return f" {answer}" if cloze.before.endswith(" ") else answer
