"""What texts may share without changing each other's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forgetmeter.scoring.company.limits import UNKNOWN_LENGTH

Level = Literal["packed", "padded", "equal lengths", "alone"]


@dataclass(frozen=True)
class Sharing:
    """The longest rows, in tokens, in which each way of sharing is harmless; 0 where it never is.

    Attributes:
        branches: Sequences that begin alike lie in one row, as branches of a tree.
        lengths: Rows of other lengths are in the same batch, and a row is read for the beginnings it contains.
        batch: Rows of the same length are in the same batch.
    """

    branches: int = 0
    lengths: int = UNKNOWN_LENGTH
    batch: int = UNKNOWN_LENGTH

    @property
    def level(self) -> Level:
        """The most that short rows may share."""
        if self.branches:
            return "packed"
        if self.lengths:
            return "padded"
        return "equal lengths" if self.batch else "alone"

    def allows(self, longest: int, length: int) -> bool:
        """Whether a row may join a batch whose longest row has ``longest`` tokens, no fewer than its own ``length``."""
        return longest <= (self.batch if length == longest else min(self.lengths, self.batch))
