"""A loaded model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.errors import UserError
from forgetmeter.models.family import Family


@dataclass(frozen=True, repr=False)
class Loaded:
    """A model in memory, with its tokenizer and metadata.

    Attributes:
        model: The transformers model, in evaluation mode.
        tokenizer: Its tokenizer.
        family: How it answers: ``encoder`` at a mask, seeing the text on both sides; ``encoder-decoder`` from left to
            right, after reading a whole text; ``decoder`` from left to right.
        name: The reference it was loaded from, or a given name.
        weight_bytes: Bytes per weight in the checkpoint, by parameter name. Missing parameters, such as those of a
            model that was already in memory, count by their own dtype.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family
    name: str
    weight_bytes: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return a short text for notebooks."""
        kind, number = type(self.model).__name__, self.model.num_parameters()
        return f"<Loaded '{self.name}': {self.family}, {kind} of {number:,} parameters>"


def check_loaded(given: object) -> None:
    """Check that an argument is a loaded model.

    Raises:
        UserError: It is not.
    """
    if not isinstance(given, Loaded):
        raise UserError(
            f"{type(given).__name__} is not a loaded model; pass what forgetmeter.load, wrap or compress returns"
        )
