"""Result of compressing a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forgetmeter.records.variant import Reached


@dataclass(frozen=True)
class Written:
    """A compressed checkpoint.

    Attributes:
        folder: Where it is.
        model: What it was made from.
        recipe: The recipe as text.
        format: How its weights are stored: ``dense``, or the layout of compressed-tensors.
        reached: What the recipe did.
        files: Its files of weights.
        bytes_before: What the source's files of weights take on the disk.
        bytes_after: What its own take.
        unused: Tensors of the source that the model has no place for; they were left out.
        notes: What else there is to know, a sentence each.
        is_checked: Whether it was loaded again and compared with the variant that ``forgetmeter run`` scores.
        rounding: By how much the logits are off that variant's because the weights are stored in 16 bits, as a share
            of their spread over the vocabulary; 0 where nothing was rounded, or nothing was checked.
        options: Those of the command that were not left as they are by default.
    """

    folder: Path
    model: str
    recipe: str
    format: str
    reached: Reached
    files: tuple[str, ...]
    bytes_before: int
    bytes_after: int
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    is_checked: bool = False
    rounding: float = 0.0
