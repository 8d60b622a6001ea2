"""The scoring engine, common to all model families."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError, is_out_of_memory
from forgetmeter.models.family import Family
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.safe_loading.panics import refusing_panics
from forgetmeter.records.item import Answer, Item, Problem, is_generated
from forgetmeter.scoring.asked import blank_token, with_text_problems
from forgetmeter.scoring.batch_invariance.limits import Sharing
from forgetmeter.scoring.families.decoder import DecoderScoring
from forgetmeter.scoring.families.encoder import EncoderScoring
from forgetmeter.scoring.families.encoder_decoder import EncoderDecoderScoring
from forgetmeter.scoring.generation.writing import Writing
from forgetmeter.scoring.packed_weights import packed_weights
from forgetmeter.scoring.question import Prepared, TokenReadings, VocabularyReadings, answers
from forgetmeter.scoring.reused_states import ReusedStates
from forgetmeter.scoring.rows.reading import BatchReadings, read
from forgetmeter.scoring.tokens.tokenization import UNENCODABLE, is_unencodable

# Measured on 2 cores (docs/decisions/002-own-scoring-lm-evals-tasks.md) and on a GPU (docs/results/gpu.md).
_AUTO_BATCH_TOKENS = {"cpu": 1024}
_AUTO_BATCH_TOKENS_ELSEWHERE = 16384
_TRIED_ALONE = 32


_FAMILIES: dict[Family, type[EncoderScoring | EncoderDecoderScoring | DecoderScoring]] = {
    "encoder": EncoderScoring,
    "encoder-decoder": EncoderDecoderScoring,
    "decoder": DecoderScoring,
}
"""How each family prepares items and runs the model on a batch."""


class Engine:
    """Scores items with a model of any family.

    Args:
        loaded: The model; recipes may be applied to it between calls of ``score``.
        batch_tokens: Maximum number of tokens per batch, padding included; ``None`` to choose by device, and by
            whether texts are read or written.
        reused: Hidden states of batches that were read before, for variants that leave them unchanged.
        most: What rows share at most, even if the model allows more.
    """

    @quiet()
    def __init__(
        self,
        loaded: Loaded,
        *,
        batch_tokens: int | None = None,
        reused: ReusedStates | None = None,
        most: Sharing | None = None,
    ) -> None:
        self._model = loaded.model
        self._name = loaded.name
        if batch_tokens is not None and (type(batch_tokens) is not int or batch_tokens < 1):
            raise UserError(f"batch_tokens {batch_tokens!r} is not a positive integer")
        self.batch_tokens = batch_tokens or _AUTO_BATCH_TOKENS.get(
            loaded.model.device.type, _AUTO_BATCH_TOKENS_ELSEWHERE
        )
        with refusing_panics(self._name):
            self._scoring = _FAMILIES[loaded.family](loaded, batch_tokens=self.batch_tokens)
            self._writing = Writing(loaded, batch_tokens=batch_tokens)
        if most is not None:
            self._scoring.sharing = self._scoring.sharing.within(most)
        self._forward = self._scoring.forward if reused is None else reused.forward(self._scoring.forward)
        self._known: Mapping[str, BatchReadings] = {}
        tokenizer = loaded.tokenizer
        self._blank = blank_token(loaded.family, tokenizer)
        self._decode: Callable[[int], str] = cache(lambda token: str(tokenizer.decode([token])).strip())

    @property
    def sharing(self) -> Sharing:
        """What the model's rows may share; less for a variant that rounds activations."""
        return self._scoring.sharing

    @property
    def shared(self) -> tuple[Sharing, Sharing]:
        """What the model's rows may share, and what the texts of an encoder-decoder's encoder may share."""
        return self._scoring.sharing, self._scoring.text_sharing

    def most_tokens(self, prepared: Prepared) -> int:
        """Return the maximum number of tokens per batch of prepared items, which is larger if texts are written."""
        return self._writing.batch_tokens if prepared.contexts else self.batch_tokens

    def prepare(self, items: Sequence[Item]) -> Prepared:
        """Tokenize and batch the items of a task, once for all variants of the model.

        Raises:
            UserError: The model's family does not support a kind of item, none of the items can be asked, or the
                tokenizer panics.
        """
        prepared = self.prepare_part(items)
        if items and not any(prepared.questions):
            reasons = ", ".join(f"{reason}: {count}" for reason, count in prepared.dropped.items())
            raise UserError(f"model '{self._name}' can score none of the items ({reasons}); choose another task")
        return prepared

    @quiet()
    def prepare_part(self, items: Sequence[Item]) -> Prepared:
        """Tokenize and batch some of the items of a task, none of which need be possible to ask.

        Raises:
            UserError: The model's family does not support a kind of item, or the tokenizer panics.
        """
        asked = with_text_problems(items, self._blank)
        try:
            with refusing_panics(self._name):
                prepared = self._prepare(asked)
        except Exception as error:
            if not is_unencodable(error):
                raise
            with refusing_panics(self._name):
                prepared = self._prepare([self._encodable(item) for item in asked])
        return prepared.without_ties(items)

    def _prepare(self, items: Sequence[Item]) -> Prepared:
        return (self._writing if is_generated(items) else self._scoring).prepare(items)

    def _encodable(self, item: Item) -> Item:
        """Return the item, with a problem in place of its question if the tokenizer has no tokens for its texts."""
        try:
            self._prepare([item])
        except Exception as error:
            if not is_unencodable(error):
                raise
            return replace(item, asks=Problem(UNENCODABLE))
        return item

    def read_share(self, prepared: Prepared, number: int, shares: int) -> dict[str, BatchReadings]:
        """Read a share of the batches, for ``score`` in this or another process.

        Args:
            prepared: The prepared items.
            number: Number of the share, from 0.
            shares: Number of shares.

        Returns:
            The readings by ``Batch.digest``; if memory runs out, only those read until then.
        """
        found: dict[str, BatchReadings] = {}
        try:
            with packed_weights(self._model, tokens=prepared.tokens):
                for batch in prepared.batches[number::shares]:
                    with quiet():
                        found[batch.digest] = read(self._model, batch, self._forward)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        return found

    @contextmanager
    def knowing(self, readings: Mapping[str, BatchReadings]) -> Iterator[None]:
        """Skip batches whose readings ``read_share`` has already returned, here or in another process."""
        self._known = readings
        try:
            yield
        finally:
            # They are those of one variant.
            self._known = {}

    def score(self, prepared: Prepared, *, on_advance: Callable[[float], None] | None = None) -> list[Answer | None]:
        """Score the items with the model in its current state.

        Args:
            prepared: The prepared items.
            on_advance: Called after each batch with the share of tokens done, from 0 to 1.

        If memory runs out, it starts again with batches of half as many tokens, and ``batch_tokens`` stays at that.

        Returns:
            The answer to each item, in order; ``None`` for items that cannot be scored.
        """
        found = self._read_in_memory(prepared, on_advance)
        # NaN spreads over its batch (0 * NaN is NaN), so score affected items alone.
        broken = [place for place, answer in enumerate(found) if answer is not None and not answer.is_number]
        if len(broken) == sum(answer is not None for answer in found):
            # If every answer is NaN, try a sample first.
            tried = broken[:: -(-len(broken) // _TRIED_ALONE)] if broken else []
            broken = broken if any(self._alone(prepared.items[place]).is_number for place in tried) else []
        for place in broken:
            found[place] = self._alone(prepared.items[place])
        return found

    def _read_in_memory(self, prepared: Prepared, on_advance: Callable[[float], None] | None) -> list[Answer | None]:
        while True:
            try:
                # Not for nothing, where other processes have read everything.
                is_known = bool(self._known) and all(batch.digest in self._known for batch in prepared.batches)
                with packed_weights(self._model, tokens=0 if is_known else prepared.tokens):
                    return self._read(prepared, on_advance)
            except Exception as error:
                if not is_out_of_memory(error) or not prepared.has_batches_of_several:
                    raise
            # Here, the error no longer holds the tensors of the frames that it left.
            self._halve_batches()
            prepared = self._prepare(prepared.items).without_ties(prepared.items)

    def _halve_batches(self) -> None:
        # States of larger batches would keep memory and fit no batch.
        self._forward = self._scoring.forward
        self.batch_tokens = self._scoring.batch_tokens = max(1, self.batch_tokens // 2)
        self._writing.batch_tokens = max(1, self._writing.batch_tokens // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _alone(self, item: Item) -> Answer:
        # Batches of their own, whose states nobody would reuse.
        reusing, self._forward = self._forward, self._scoring.forward
        try:
            (answer,) = self._read(self._prepare([item]))
        finally:
            self._forward = reusing
        assert answer is not None
        return answer

    def _read(self, prepared: Prepared, on_advance: Callable[[float], None] | None = None) -> list[Answer | None]:
        if prepared.contexts:
            return self._writing.answers(prepared, on_advance)
        readings: list[BatchReadings] = []
        done = 0
        for batch in prepared.batches:
            found = self._known.get(batch.digest) if self._known else None
            with quiet():
                readings.append(found or read(self._model, batch, self._forward))
            done += batch.real_tokens
            if on_advance is not None:
                on_advance(done / prepared.tokens)
        tokens, vocabulary = _readings(prepared, readings)
        return answers(prepared.questions, prepared.sums, tokens, vocabulary, decode=self._decode)


def _readings(prepared: Prepared, readings: Sequence[BatchReadings]) -> tuple[TokenReadings, VocabularyReadings]:
    single = [batch.single.slots.cpu() for batch in prepared.batches]
    vocabulary = [batch.vocabulary.slots.cpu() for batch in prepared.batches]

    def tokens(name: str) -> Tensor:
        return in_slot_order([getattr(each.tokens, name) for each in readings], single)

    def whole(name: str) -> Tensor:
        return in_slot_order([getattr(each.vocabulary, name) for each in readings], vocabulary)

    return (
        TokenReadings(tokens("logprobs"), tokens("greedy")),
        VocabularyReadings(whole("top"), whole("ranks"), whole("logprobs"), whole("best_others")),
    )


def in_slot_order(parts: Sequence[Tensor], slots: Sequence[Tensor]) -> Tensor:
    """Return the readings of all batches in the order of their slots."""
    if not parts:
        return torch.empty(0)
    values = torch.cat(list(parts))
    ordered = torch.empty_like(values)
    ordered[torch.cat(list(slots))] = values
    return ordered
