"""The noise floor: differences between two scorings of the baseline, in other batches or in another dtype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forgetmeter.records.outcome import Outcome


@dataclass(frozen=True)
class Noise:
    """The differences between two scorings of the baseline on the same items.

    Attributes:
        items: Number of items.
        forgotten: Items right only in the first scoring.
        gained: Items right only in the second.
        changed: Items whose prediction differs.
        largest_margin_shift: The largest difference of margins, in nats; 0 if no item has a margin.
        batch_tokens: Maximum number of tokens per batch in the first and the second scoring.
        dtype: What the second scoring was computed in, if not in the same as the first.
    """

    items: int
    forgotten: int
    gained: int
    changed: int
    largest_margin_shift: float
    batch_tokens: tuple[int, int]
    dtype: str = ""

    @property
    def what(self) -> str:
        """What the second scoring did: ``scoring the baseline twice``."""
        return f"computing the baseline in {self.dtype}" if self.dtype else "scoring the baseline twice"

    @property
    def floor(self) -> float:
        """Share of items whose correctness changed: the largest drop that scoring noise alone could cause."""
        return (self.forgotten + self.gained) / self.items if self.items else 0.0


def noise_between(
    first: Sequence[Outcome], second: Sequence[Outcome], *, batch_tokens: tuple[int, int], dtype: str = ""
) -> Noise:
    """Compare two scorings of the same items in the same order."""
    pairs = list(zip(first, second, strict=True))
    shifts = [abs(a.margin - b.margin) for a, b in pairs if a.margin is not None and b.margin is not None]
    return Noise(
        items=len(pairs),
        forgotten=sum(bool(a.correct) and not b.correct for a, b in pairs),
        gained=sum(bool(b.correct) and not a.correct for a, b in pairs),
        changed=sum(a.prediction != b.prediction for a, b in pairs),
        largest_margin_shift=max(shifts, default=0.0),
        batch_tokens=batch_tokens,
        dtype=dtype,
    )
