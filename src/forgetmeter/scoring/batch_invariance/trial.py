"""Comparison of a model's logits for texts alone and with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.scoring.batch_invariance.in_float32 import InFloat32, has_half
from forgetmeter.scoring.generation.greedy import logits_along
from forgetmeter.scoring.rows.batch import Reading, TokenRow, make_batch
from forgetmeter.scoring.rows.reading import Forward, read
from forgetmeter.scoring.tokens.answer_tokens import Tokens

_SHARP = 1e-5
"""Tolerance between batches of the same shape, where rounding is nearly always the same."""
_CLOSE = 1e-4
"""Tolerance between batches of different shapes, which sum in another order.

Measured on a decoder of 135 million parameters: 4e-6.
"""
_HALF_CLOSE = 1e-3
"""The same for a model that only runs in 16 bits; only batches of the same shape are compared there."""
_OTHER_PLACE = 0.1
"""In 16 bits, differences above this share of the range over the vocabulary indicate another position's."""
FAILURES = (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError, AssertionError)
"""Exceptions that architectures raise for masks, positions or lengths they do not support."""


@dataclass(frozen=True)
class Text:
    """A text for a trial.

    Attributes:
        tokens: Token ids of its row.
        context: Token ids for the encoder of an encoder-decoder.
        branch: Tokens of another branch in its row, inserted after its first ``fork`` tokens.
        fork: Number of tokens that the branches share.
    """

    tokens: Tokens
    context: Tokens = ()
    branch: Tokens = ()
    fork: int = 0

    def row(self, context: int) -> TokenRow:
        """Return its row, given the index of its context."""
        if not self.branch:
            return TokenRow(self.tokens, context=context)
        tokens = (*self.tokens[: self.fork], *self.branch, *self.tokens[self.fork :])
        parents = [place - 1 for place in range(len(tokens))]
        parents[self.fork + len(self.branch)] = self.fork - 1
        return TokenRow(tokens, tuple(parents), context=context)

    @property
    def places(self) -> list[int]:
        """Positions of its own tokens in its row."""
        return [place + (len(self.branch) if place >= self.fork else 0) for place in range(len(self.tokens))]


class Trial:
    """Runs a model on synthetic texts, alone and with others, and compares all logits.

    It computes in float32 whatever the model's dtype, because 16-bit rounding hides differences of several nats.

    Attributes:
        is_exact: Whether it still does so; see ``use_own_dtype``.
    """

    def __init__(self, model: PreTrainedModel, forward: Forward, *, padding: int) -> None:
        self._model = model
        self._forward = forward
        self._padding = padding
        self._converts = has_half(model)
        self.is_exact = True
        self._known: dict[tuple[Tokens, Tokens], Tensor] = {}

    def use_own_dtype(self) -> bool:
        """Compute in the model's dtype from now on, as some kernels need it; return whether that is a change."""
        is_change, self._converts, self.is_exact = self._converts, False, not self._converts
        return is_change

    def logits(self, texts: Sequence[Text]) -> list[Tensor]:
        """Return the logits of each text from one batch, each of shape ``(tokens, vocabulary)``."""
        contexts = list(dict.fromkeys(text.context for text in texts))
        rows = [text.row(contexts.index(text.context)) for text in texts]
        given = contexts if contexts != [()] else []
        batch = make_batch(rows, device=self._model.device, padding=self._padding, contexts=given)
        # NaN says nothing about sharing, so it must compare equal to itself.
        with self._arithmetic():
            logits = torch.nan_to_num(self._forward(self._model, batch).float(), 0.0, 0.0, 0.0)
        return [row[text.places] for row, text in zip(logits, texts, strict=True)]

    def logits_along(self, contexts: Sequence[Tokens], answer: Tokens) -> list[Tensor]:
        """Return the logits at each token of an answer to several contexts, written as in generation."""
        with self._arithmetic():
            found = logits_along(self._model, contexts, answer, padding=self._padding)
        return [torch.nan_to_num(each.float(), 0.0, 0.0, 0.0) for each in found]

    def head_reads_positions(self, text: Text, other: Text) -> bool:
        """Whether log-probabilities read at single positions equal those from all logits.

        ``other`` is a text of the same length that precedes ``text`` in the batch.
        """
        # In reverse order, because a head that ignores the selection returns all positions in order.
        places = list(range(len(text.tokens)))[::-1]
        readings = tuple(Reading(place, text.tokens[place], place) for place in places)
        rows = [other.row(0), replace(text.row(0), readings=readings)]
        batch = make_batch(rows, device=self._model.device, contexts=[text.context] if text.context else [])
        try:
            with self._arithmetic():
                found = read(self._model, batch, self._forward).tokens.logprobs
        except FAILURES:
            return False
        logprobs = self.logits([other, text])[1].log_softmax(1).cpu()
        difference = found - logprobs[places, list(text.tokens[::-1])]
        allowed = (10 * _CLOSE if self.is_exact else _OTHER_PLACE) * (logprobs.amax(1) - logprobs.amin(1))
        # NaN says nothing about positions.
        return not bool(((difference.abs() > allowed[places]) & found.isfinite()).any())

    def alone(self, text: Text) -> Tensor:
        """Return the logits of a text alone in its batch."""
        key = (text.tokens, text.context)
        if key not in self._known:
            self._known[key] = self.logits([Text(*key)])[0]
        return self._known[key]

    def holds(self, texts: Sequence[Text], other_texts: Sequence[Text]) -> bool:
        """Whether texts read the same with others as alone, independent of the others' tokens.

        Two batches of the same shape that differ in everything except these texts reveal leaks of any size; reading the
        texts alone reveals positions counted along the row, and ignored masks.

        Args:
            texts: Texts of one batch.
            other_texts: Texts of the same shapes; only texts that are the same in both batches are compared.
        """
        try:
            first, second = self.logits(texts), self.logits(other_texts)
        except FAILURES:
            return False
        return all(
            self.agree(one, other, sharp=True) and self.agree(one, self.alone(text))
            for text, twin, one, other in zip(texts, other_texts, first, second, strict=True)
            if (text.tokens, text.context) == (twin.tokens, twin.context)
        )

    def agree(self, one: Tensor, other: Tensor, *, sharp: bool = False) -> bool:
        """Whether logits agree up to rounding at all common positions.

        The tolerance is relative to their spread over the vocabulary.

        Args:
            one: Logits, shape ``(positions, vocabulary)``.
            other: Logits over the same vocabulary.
            sharp: Whether both are from batches of the same shape, for which the tolerance is smaller.
        """
        places = min(len(one), len(other))
        one, other = one[:places], other[:places]
        difference = (one - other).square().mean(1).sqrt()
        # The spread of the middle 80%, because some models rule out tokens with huge negative logits.
        low, high = (one.kthvalue(max(1, round(share * one.shape[1])), dim=1).values for share in (0.1, 0.9))
        tolerance = _SHARP if sharp else _CLOSE if self.is_exact else _HALF_CLOSE
        return bool((difference <= tolerance * (high - low)).all())

    def _arithmetic(self) -> AbstractContextManager[object]:
        return InFloat32() if self._converts else nullcontext()


def drawing(model: PreTrainedModel) -> Callable[[int], Tokens]:
    """Return a function that draws random tokens, except special tokens named in the configuration."""
    config = model.config.get_text_config()
    special: set[int] = set()
    for key, value in config.to_dict().items():
        if key.endswith(("token_id", "token_ids", "token_index")):
            special.update(each for each in (value if isinstance(value, list) else [value]) if isinstance(each, int))
    vocabulary = [token for token in range(int(config.vocab_size)) if token not in special]
    generator = torch.Generator().manual_seed(0)

    def draw(number: int) -> Tokens:
        return tuple(vocabulary[at] for at in torch.randint(len(vocabulary), (number,), generator=generator).tolist())

    return draw
