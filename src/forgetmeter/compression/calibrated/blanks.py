"""Texts with blanks, in the format in which a model was trained to fill them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from transformers import PreTrainedTokenizerBase

_SHARE_MASKED = 0.15
_SENTINELS = ("<extra_id_0>", "<extra_id_1>")


@dataclass(frozen=True)
class Blanks:
    """How blanks are written.

    Attributes:
        mask: Id of the tokenizer's mask token, if it has one.
        sentinels: Ids of T5's first two sentinels, if it has them.
    """

    mask: int | None = None
    sentinels: tuple[int, int] | None = None

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Blanks:
        """Return how a tokenizer writes blanks."""
        known = tokenizer.get_vocab()
        first, second = (known.get(each) for each in _SENTINELS)
        sentinels = None if first is None or second is None else (first, second)
        return cls(tokenizer.mask_token_id, sentinels)

    def put_in(self, inputs: Mapping[str, Tensor], random: Generator) -> tuple[Mapping[str, Tensor], Tensor]:
        """Return inputs with blanks, and the positions of the logits to look at; bool, ``(sequences, positions)``.

        A masked language model is asked for a random 15% of the tokens. An encoder-decoder with sentinels is asked for
        one token, and writes it between two of them; one with a mask token writes the text of which 15% are masked. A
        decoder continues the text as it is.

        Args:
            inputs: ``input_ids``, int64, ``(sequences, positions)``; for an encoder-decoder also ``labels``.
            random: Draws the blanks.
        """
        ids = inputs["input_ids"]
        if "labels" in inputs and self.sentinels is not None:
            return self._one_between_sentinels(ids, self.sentinels, random)
        all_labels = torch.ones_like(inputs.get("labels", ids), dtype=torch.bool)
        if self.mask is None:
            return inputs, all_labels
        draws = torch.rand(ids.shape, generator=random)
        # At least one per sequence.
        masked = (draws < _SHARE_MASKED) | (draws == draws.min(dim=1, keepdim=True).values)
        return {**inputs, "input_ids": ids.masked_fill(masked, self.mask)}, all_labels if "labels" in inputs else masked

    @staticmethod
    def _one_between_sentinels(
        ids: Tensor, sentinels: tuple[int, int], random: Generator
    ) -> tuple[Mapping[str, Tensor], Tensor]:
        first, second = sentinels
        # Never the last token, which ends the text.
        place = torch.randint(0, max(1, ids.shape[1] - 1), (len(ids), 1), generator=random)
        token = ids.gather(1, place)
        labels = torch.cat([torch.full_like(token, first), token, torch.full_like(token, second)], dim=1)
        return {"input_ids": ids.scatter(1, place, first), "labels": labels}, torch.ones_like(labels, dtype=torch.bool)
