"""Result of compressing a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forgetmeter.records.variant import Reached


@dataclass(frozen=True)
class Written:
    """A compressed checkpoint.

    Attributes:
        folder: Its folder.
        model: Reference of the source model.
        recipe: The recipe as text.
        format: Storage format: ``dense`` or ``compressed-tensors``.
        reached: The sparsity and bytes reached.
        files: Names of its weight files.
        bytes_before: Size of the source's weight files.
        bytes_after: Size of its own weight files.
        unused: Tensors of the source that the model does not use; left out.
        notes: Notes to the user, one sentence each.
        is_checked: Whether it was loaded again and compared with the variant that ``forgetmeter run`` scores.
        rounding: Deviation of the logits from that variant's because weights are stored in 16 bits, as a share of their
            spread over the vocabulary; 0 if nothing was rounded or checked.
        options: Options of the command that differ from their defaults.
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
