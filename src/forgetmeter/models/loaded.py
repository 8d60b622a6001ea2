"""A model that is ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.models.family import Family


@dataclass(frozen=True)
class Loaded:
    """A model in memory, with what belongs to it.

    Attributes:
        model: The transformers model, in evaluation mode.
        tokenizer: Its tokenizer.
        family: How it answers: ``encoder`` at a mask, with the text on both sides of it; ``encoder-decoder``
            from left to right, after reading a text whole; ``decoder`` from left to right.
        name: The reference it was loaded by, or a name given to it.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family
    name: str
