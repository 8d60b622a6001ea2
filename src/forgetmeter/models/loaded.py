"""A model that is ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
        weight_bytes: Bytes that one weight of each parameter takes in the checkpoint, by the parameter's name; where it
            is not there, as for a model that was in memory already, the parameter's own dtype counts.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family
    name: str
    weight_bytes: Mapping[str, int] = field(default_factory=dict)
