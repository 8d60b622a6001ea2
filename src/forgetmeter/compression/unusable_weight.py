"""The error for weights that a method cannot work on."""

from __future__ import annotations

from forgetmeter.errors import UserError


class UnusableWeightError(UserError):
    """A method cannot work on one of the weights it was given.

    Methods do not know parameter names; whoever called one does, and says the name.

    Attributes:
        reason: What is wrong with the weight, as the end of a sentence that starts with its name.
        position: Index of the weight among those given, or ``None`` where the method was given just the one.
    """

    def __init__(self, reason: str, *, position: int | None = None) -> None:
        which = "a weight matrix" if position is None else f"weight matrix {position} of the scope"
        super().__init__(f"{which} {reason}")
        self.reason = reason
        self.position = position
