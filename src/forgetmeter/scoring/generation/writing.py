"""Answers questions with texts: batches contexts, writes greedily, and cuts what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby

import numpy as np

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.generation import GeneratedText, Generation, before_ends
from forgetmeter.records.item import Answer, Item
from forgetmeter.scoring.asked import BEYOND_EMBEDDING, embedded_tokens, unsupported_reason
from forgetmeter.scoring.batch_invariance.detection import find_context_sharing, find_sharing
from forgetmeter.scoring.batch_invariance.limits import Sharing, max_length, window
from forgetmeter.scoring.families.decoder import run_decoder
from forgetmeter.scoring.families.encoder_decoder import run_encoder_decoder
from forgetmeter.scoring.generation.greedy import WrittenTokens, write
from forgetmeter.scoring.question import ContextBatch, Prepared, Question
from forgetmeter.scoring.tokens.answer_tokens import Tokens
from forgetmeter.scoring.tokens.tokenization import NO_CONTEXT, tokenize_contexts

_AUTO_BATCH_TOKENS = 16384
"""Writing a token reads all weights, whatever the number of rows, so batches are larger than for reading."""
_NOTHING = np.empty(0, dtype=np.int64)


class Writing:
    """Answers items that ask for a ``Generation``, as lm-evaluation-harness's ``hf`` does for each item alone.

    A context is truncated on the left to leave room for the longest answer. An answer ends at the first of its ends, or
    at an end of sequence.

    Args:
        batch_tokens: Maximum number of tokens per batch, read or written, padding included; ``None`` for the default.
    """

    def __init__(self, loaded: Loaded, *, batch_tokens: int | None) -> None:
        self._loaded = loaded
        self._model, self._tokenizer = loaded.model, loaded.tokenizer
        self._is_pair = loaded.family == "encoder-decoder"
        self.batch_tokens = batch_tokens or _AUTO_BATCH_TOKENS
        self._embedded = embedded_tokens(loaded.model, loaded.tokenizer)
        end = loaded.tokenizer.eos_token_id
        self._end = () if end is None else (str(loaded.tokenizer.decode([end], skip_special_tokens=False)),)

    @cached_property
    def _lengths(self) -> tuple[int, int]:
        """Maximum number of tokens that it reads, and, for an encoder-decoder, that it writes."""
        model, tokenizer, name = self._model, self._tokenizer, self._loaded.name
        if not self._is_pair:
            longest = max_length(model, tokenizer, name)
            return longest, longest
        read, written = (
            max_length(model, tokenizer, name, part=part) for part in (model.get_encoder(), model.get_decoder())
        )
        return read, written

    @cached_property
    def _sharing(self) -> Sharing:
        """What contexts may share a batch; each counts with the longest answer."""
        longest, written = self._lengths
        if self._is_pair:
            padding = self._tokenizer.pad_token_id or 0
            rows, texts = find_sharing(
                self._loaded, run_encoder_decoder, longest=written, longest_text=longest, padding=padding
            )
            return texts.within(replace(rows, lengths=texts.lengths))
        found, _ = find_sharing(self._loaded, run_decoder, longest=longest)
        if not found.batch:
            return found
        found = found.within(find_context_sharing(self._loaded, run_decoder, longest=longest))
        return replace(found, lengths=min(found.lengths, window(self._model)))

    def prepare(self, items: Sequence[Item]) -> Prepared:
        """Tokenize and batch items.

        Raises:
            UserError: The model cannot write.
        """
        longest = None if self._loaded.family == "encoder" else self._lengths[0]
        if reason := unsupported_reason(items, self._loaded.family, self._tokenizer, longest=longest):
            raise UserError(f"model '{self._loaded.name}' {reason}")
        asked = {place: item.asks for place, item in enumerate(items) if isinstance(item.asks, Generation)}
        reasons = [item.problem for item in items]
        contexts: dict[int, Tokens] = {}
        cut = 0
        whole = tokenize_contexts([each.context for each in asked.values()], self._tokenizer, keeps_end=self._is_pair)
        for (place, generation), tokens in zip(asked.items(), whole, strict=True):
            reasons[place] = self._unfit(tokens)
            if reasons[place] is None:
                room = self._lengths[0] - (0 if self._is_pair else generation.max_tokens)
                contexts[place] = tokens[-room:]
                cut += len(contexts[place]) < len(tokens)
        return Prepared(
            questions=tuple(
                Question(0, _NOTHING, _NOTHING, kind="generation") if place in contexts else None
                for place in range(len(items))
            ),
            reasons=tuple(reasons),
            batches=(),
            contexts=tuple(self._batches(contexts, asked)),
            cut=cut,
        )

    def _unfit(self, tokens: Tokens) -> str | None:
        if not tokens:
            return NO_CONTEXT
        return None if self._embedded.has(tokens) else BEYOND_EMBEDDING

    def _batches(self, contexts: dict[int, Tokens], asked: dict[int, Generation]) -> Iterator[ContextBatch]:
        """Batch contexts with the same settings by length, longest first, within the token budget."""

        def settings(place: int) -> tuple[tuple[str, ...], int]:
            return asked[place].until, min(asked[place].max_tokens, self._lengths[1])

        for (until, most), group in groupby(sorted(contexts, key=settings), key=settings):
            batch: list[int] = []
            for place in sorted(group, key=lambda each: -len(contexts[each])):
                longest = len(contexts[batch[0] if batch else place]) + most
                is_within = longest * (len(batch) + 1) <= self.batch_tokens
                if batch and not (is_within and self._sharing.allows(longest, len(contexts[place]) + most)):
                    yield ContextBatch(tuple(batch), tuple(contexts[each] for each in batch), until, most)
                    batch = []
                batch.append(place)
            yield ContextBatch(tuple(batch), tuple(contexts[each] for each in batch), until, most)

    def answers(self, prepared: Prepared, on_advance: Callable[[float], None] | None = None) -> list[Answer | None]:
        """Write the answers with the model in its current state; ``None`` for items that cannot be asked."""
        found: list[Answer | None] = [None] * len(prepared.questions)
        done = 0
        for batch in prepared.contexts:

            def advance(steps: int, batch: ContextBatch = batch, done: int = done) -> None:
                if on_advance is not None:
                    on_advance((done + batch.tokens_after(steps)) / prepared.tokens)

            until = (*batch.until, *self._end)
            with quiet():
                written = write(
                    self._model, self._tokenizer, batch.contexts, until=until, most=batch.most, on_step=advance
                )
            for place, each in zip(batch.places, written, strict=True):
                found[place] = self._text(each, until)
            # It may have ended early.
            advance(batch.most)
            done += batch.tokens
        return found

    def _text(self, written: WrittenTokens, until: Sequence[str]) -> GeneratedText:
        text = str(self._tokenizer.decode(written.tokens, skip_special_tokens=True))
        return GeneratedText(before_ends(text, until), written.is_number, len(written.tokens))
