"""When the evaluation of a cell may stop before its last item."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StopRule:
    """What must be known about a cell's drop.

    Attributes:
        precision: The drop itself, to within plus or minus this. With a margin, the difference that bets are tuned for.
        margin: Instead, whether the drop is at most this; ``None`` if the precision is what counts.
        checks: Number of cells that are decided together: that a drop is larger than the margin must hold for all of
            them, as for the verdict FAIL of a gate. 0 for a drop that is at most the margin, whatever their number.
    """

    precision: float
    margin: float | None = None
    checks: int = 1

    def covers(self, precision: float, margin: float | None, checks: int) -> bool:
        """Return whether a cell that stopped by another rule, with these values, need not be asked again."""
        if self.margin is None:
            return margin is None and precision <= self.precision
        return margin == self.margin and (not checks or checks >= self.checks)
