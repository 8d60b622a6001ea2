"""The error for weights that a method cannot work on."""

from __future__ import annotations

from torch import Tensor

from forgetmeter.errors import UserError


class UnusableWeightError(UserError):
    """A method cannot work on one of its weights.

    Methods do not know parameter names, so their caller adds the name.

    Attributes:
        reason: What is wrong with the weight, continuing a sentence that starts with its name.
        position: Index of the weight among those given to the method, or ``None`` if there was only one.
    """

    def __init__(self, reason: str, *, position: int | None = None) -> None:
        which = "a weight matrix" if position is None else f"weight matrix {position} of the scope"
        super().__init__(f"{which} {reason}")
        self.reason = reason
        self.position = position


def refuse_not_finite(tensor: Tensor, work: str, *, position: int | None = None) -> None:
    """Refuse a tensor with NaN or infinity; ``work`` completes "cannot be ...".

    Raises:
        UnusableWeightError: It holds NaN or infinity.
    """
    if not tensor.isfinite().all():
        raise UnusableWeightError(
            f"holds NaN or infinity and cannot be {work}; use an intact checkpoint", position=position
        )
