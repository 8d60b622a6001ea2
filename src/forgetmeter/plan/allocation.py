"""Chooses one way to store each part of a model, so that all of them fit into a number of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Choice:
    """One way to store a part.

    Attributes:
        bytes: Bytes that it takes.
        loss: What it costs, in any unit; the losses of all parts are added.
    """

    bytes: int
    loss: float


def least_loss(parts: Sequence[Sequence[Choice]], most: int) -> tuple[int, ...] | None:
    """Choose one way for each part, so that the sum of losses is least and the bytes are within a limit.

    The multiple-choice knapsack problem, solved to optimality by HiGHS (``scipy.optimize.milp``).

    Args:
        parts: The ways to store each part; none of them is empty.
        most: Limit of the sum of bytes.

    Returns:
        The index of the choice of each part; ``None`` if even the smallest do not fit.
    """
    if sum(min(choice.bytes for choice in choices) for choices in parts) > most:
        return None
    flat = [choice for choices in parts for choice in choices]
    owner = np.repeat(np.arange(len(parts)), [len(choices) for choices in parts])
    one_each = csr_array((np.ones(len(flat)), (owner, np.arange(len(flat)))), shape=(len(parts), len(flat)))
    sizes = np.asarray([choice.bytes for choice in flat], dtype=float)
    # In shares of the limit, because the solver's tolerances are absolute.
    within = LinearConstraint(sizes[None, :] / max(most, 1), -np.inf, 1.0)
    found = milp(
        np.asarray([choice.loss for choice in flat]),
        constraints=[LinearConstraint(one_each, 1, 1), within],
        integrality=np.ones(len(flat)),
        bounds=Bounds(0, 1),
    )
    if found.x is None:
        return None
    return tuple(int(np.argmax(found.x[owner == part])) for part in range(len(parts)))
