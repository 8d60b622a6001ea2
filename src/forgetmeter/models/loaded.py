"""A model that is ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedModel, PreTrainedTokenizerBase

Family = Literal["decoder"]


@dataclass(frozen=True)
class Loaded:
    """A model in memory, with what belongs to it.

    Attributes:
        model: The transformers model, in evaluation mode.
        tokenizer: Its tokenizer.
        family: How it answers: ``decoder`` from left to right.
        name: The reference it was loaded by, or a name given to it.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family
    name: str
