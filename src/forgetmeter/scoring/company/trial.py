"""Trials on a model: what stands beside a text must not change what the model makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.scoring.rows.batch import Reading, Row, make_batch
from forgetmeter.scoring.rows.reading import Forward, read

Tokens = tuple[int, ...]

_SHARP = {torch.bfloat16: 1e-3, torch.float16: 1e-3}
"""How far logits may differ between batches of one shape, where rounding is nearly always the same; else 1e-5."""
_CLOSE = {torch.bfloat16: 0.4, torch.float16: 0.05}
"""The same between batches of other shapes, which are summed in another order; else 1e-4.

Measured on a decoder of 135 million parameters: 0.12, 0.012 and 4e-6.
"""
_OTHER_PLACE = 0.1
"""From here on log-probabilities are another place's, in ranges over the vocabulary."""
FAILURES = (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError, AssertionError)
"""What architectures raise when they are given masks, positions or lengths that they were not written for."""


@dataclass(frozen=True)
class Text:
    """A text as the model reads it.

    Attributes:
        tokens: Token ids of its row.
        context: What the encoder of an encoder-decoder reads for it.
        branch: Tokens of another branch in its row, laid between its first ``fork`` tokens and the others.
        fork: Number of tokens that the branches share.
    """

    tokens: Tokens
    context: Tokens = ()
    branch: Tokens = ()
    fork: int = 0

    def row(self, context: int) -> Row:
        """Return its row, given the index of its context."""
        if not self.branch:
            return Row(self.tokens, context=context)
        tokens = (*self.tokens[: self.fork], *self.branch, *self.tokens[self.fork :])
        parents = [place - 1 for place in range(len(tokens))]
        parents[self.fork + len(self.branch)] = self.fork - 1
        return Row(tokens, tuple(parents), context=context)

    @property
    def places(self) -> list[int]:
        """Where its own tokens are in its row."""
        return [place + (len(self.branch) if place >= self.fork else 0) for place in range(len(self.tokens))]


class Trial:
    """Reads made-up texts, in company and alone, and compares all logits.

    Args:
        model: The model.
        forward: How it is run on a batch.
        padding: The token that fills up short rows.
    """

    def __init__(self, model: PreTrainedModel, forward: Forward, *, padding: int) -> None:
        self._model = model
        self._forward = forward
        self._padding = padding
        self._sharp = _SHARP.get(model.dtype, 1e-5)
        self._close = _CLOSE.get(model.dtype, 1e-4)
        self._known: dict[tuple[Tokens, Tokens], Tensor] = {}

    def logits(self, texts: Sequence[Text]) -> list[Tensor]:
        """Return the logits at the places of each text, read in one batch, shape ``(tokens, vocabulary)`` each."""
        contexts = list(dict.fromkeys(text.context for text in texts))
        rows = [text.row(contexts.index(text.context)) for text in texts]
        given = contexts if contexts != [()] else []
        batch = make_batch(rows, device=self._model.device, padding=self._padding, contexts=given)
        # What is no number is equal to itself here: it says nothing about company.
        logits = torch.nan_to_num(self._forward(self._model, batch).float(), 0.0, 0.0, 0.0)
        return [row[text.places] for row, text in zip(logits, texts, strict=True)]

    def head_takes_places(self, text: Text, other: Text) -> bool:
        """Whether log-probabilities at single places of a batch are those of all its logits.

        Args:
            text: The one that is read.
            other: One of the same length, which is in the batch before it.
        """
        # Backwards, as a head that takes no notice gives all places in their order.
        places = list(range(len(text.tokens)))[::-1]
        readings = tuple(Reading(place, text.tokens[place], place) for place in places)
        rows = [other.row(0), replace(text.row(0), readings=readings)]
        batch = make_batch(rows, device=self._model.device, contexts=[text.context] if text.context else [])
        try:
            found = read(self._model, batch, self._forward).tokens.logprobs
        except FAILURES:
            return False
        logprobs = self.logits([other, text])[1].log_softmax(1).cpu()
        difference = found - logprobs[places, list(text.tokens[::-1])]
        allowed = min(10 * self._close, _OTHER_PLACE) * (logprobs.amax(1) - logprobs.amin(1))
        # What is no number is not larger: it says nothing about places.
        return not bool(((difference.abs() > allowed[places]) & found.isfinite()).any())

    def alone(self, text: Text) -> Tensor:
        """Return the logits of a text that nothing is beside."""
        key = (text.tokens, text.context)
        if key not in self._known:
            self._known[key] = self.logits([Text(*key)])[0]
        return self._known[key]

    def holds(self, company: Sequence[Text], other_company: Sequence[Text]) -> bool:
        """Whether texts are read beside others as they are alone, whatever the others say.

        Two batches of one shape, in which everything but these texts differs, show a leak of any size; the texts
        alone show positions that are counted along the row, and masks that are ignored.

        Args:
            company: Texts of one batch.
            other_company: Texts of the same shapes; those that are the same here and there are watched.
        """
        try:
            first, second = self.logits(company), self.logits(other_company)
        except FAILURES:
            return False
        return all(
            self.agree(one, other, sharp=True) and self.agree(one, self.alone(text))
            for text, twin, one, other in zip(company, other_company, first, second, strict=True)
            if (text.tokens, text.context) == (twin.tokens, twin.context)
        )

    def agree(self, one: Tensor, other: Tensor, *, sharp: bool = False) -> bool:
        """Whether logits are the same to rounding, at each place that both have.

        They are measured by their spread over the vocabulary: a model with flat logits that is off by little is off.

        Args:
            one: Logits, shape ``(places, vocabulary)``.
            other: Others, of the same vocabulary.
            sharp: Whether they are from batches of the same shape.
        """
        places = min(len(one), len(other))
        one, other = one[:places], other[:places]
        difference = (one - other).square().mean(1).sqrt()
        # Of the middle 80%, as some models rule out tokens by huge negative logits.
        low, high = (one.kthvalue(max(1, round(share * one.shape[1])), dim=1).values for share in (0.1, 0.9))
        return bool((difference <= (self._sharp if sharp else self._close) * (high - low)).all())
