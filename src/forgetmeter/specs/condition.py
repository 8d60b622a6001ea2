"""Conditions that a compressed model must meet, and the amounts in them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from forgetmeter.errors import UserError
from forgetmeter.specs.budget import Budget, decimal_text, parse_budget, shortened

Quantity = Literal["drop", "retained", "accuracy", "divergence", "agreement", "size"]
Extent = Literal["task", "relation", "all"]
EXTENTS: tuple[Extent, ...] = get_args(Extent)
STATISTICS: Mapping[str, str] = {
    "mean": "divergence",
    "median": "divergence_median",
    "p90": "divergence_p90",
    "p99": "divergence_p99",
    "p99.9": "divergence_p99_9",
}
"""Statistics of the divergence over tokens: how a policy names them, and the metrics of the task ``divergence``."""

_FORM = re.compile(r"\s*((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*([a-z%]*)\s*", re.IGNORECASE)
_POINT_UNITS = ("pt", "pts", "pp")
_NAT_UNITS = ("", "nat", "nats")


@dataclass(frozen=True)
class Condition:
    """A condition on a variant, compared with its baseline.

    Attributes:
        quantity: What is limited: ``drop`` (of accuracy), ``retained`` (share of the baseline's right answers),
            ``accuracy``, ``divergence`` (in nats), ``agreement`` (share of tokens with the same most likely next
            token) or ``size``.
        limit: A share from 0 to 1; nats for a divergence; bytes or a share of the original's bytes for a size.
        tasks: The tasks or groups of tasks that it holds for; empty for all that have the quantity.
        extent: Whether it must hold for each task, for each relation of each task, or for the mean over all tasks.
        statistic: Which statistic of the divergence, a key of ``STATISTICS``.
        source: Where the user gave it: ``gate.yaml:3`` or an option.
    """

    quantity: Quantity
    limit: float | Budget
    tasks: tuple[str, ...] = ()
    extent: Extent = "task"
    statistic: str = "mean"
    source: str = ""

    @property
    def is_minimum(self) -> bool:
        """Whether the quantity must be at least the limit, not at most."""
        return QUANTITIES[self.quantity].is_minimum

    @property
    def is_of_texts(self) -> bool:
        """Whether it is measured by a task without right answers."""
        return self.quantity in ("divergence", "agreement")

    @property
    def metric(self) -> str:
        """The metric of the task ``divergence``."""
        return STATISTICS[self.statistic] if self.quantity == "divergence" else self.quantity

    def __str__(self) -> str:
        """Return the condition in words: ``drop of accuracy ≤ 1 point``."""
        sign = "≥" if self.is_minimum else "≤"
        statistic = f"{self.statistic} " if self.quantity == "divergence" else ""
        return f"{statistic}{self.quantity} {sign} {QUANTITIES[self.quantity].in_words(self.limit)}"


def parse_limit(quantity: Quantity, value: object) -> float | Budget:
    """Read the limit of a condition, from YAML or the command line.

    Raises:
        UserError: The value is not valid; could mean two things, such as ``1`` for a drop; or is met never or always.
    """
    kind = QUANTITIES[quantity]
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UserError(f"'{shortened(str(value))}' is not a valid limit ({kind.allowed})")
    limit = kind.parse(value if isinstance(value, str) else decimal_text(value))
    if limit == 0 if kind.is_minimum else quantity == "drop" and limit == 1:
        bound = "above 0" if kind.is_minimum else "below 100pt"
        raise UserError(f"'{shortened(str(value))}' is met by every model ({kind.allowed}, {bound})")
    if limit == (1.0 if kind.is_minimum else 0.0):
        raise UserError(
            f"'{shortened(str(value))}' can never be shown to hold: the interval of a model that loses nothing reaches "
            f"beyond it; allow some loss ({kind.allowed})"
        )
    return limit


def _points(text: str) -> float:
    number, unit = _parts(text, "drop")
    if unit in _POINT_UNITS:
        return _at_most_one(_hundredth(number), text, "drop")
    if unit == "%":
        raise UserError(
            f"'{shortened(text)}' is ambiguous: for percentage points of accuracy write {number:g}pt; for a "
            f"share of what the baseline knew, limit what is retained to at least {100 - number:g}%"
        )
    if unit:
        raise _invalid(text, "drop")
    if number >= 1:
        raise UserError(
            f"'{shortened(text)}' is ambiguous: write {number:g}pt, in percentage points of accuracy, or a share such "
            "as 0.01"
        )
    return number


def _share(quantity: Quantity) -> Callable[[str], float]:
    def parse(text: str) -> float:
        number, unit = _parts(text, quantity)
        if unit not in ("", "%"):
            raise _invalid(text, quantity)
        return _at_most_one(_hundredth(number) if unit else number, text, quantity)

    return parse


def _nats(text: str) -> float:
    number, unit = _parts(text, "divergence")
    if unit not in _NAT_UNITS:
        raise _invalid(text, "divergence")
    return number


def _parts(text: str, quantity: Quantity) -> tuple[float, str]:
    found = _FORM.fullmatch(text)
    if found is None or not math.isfinite(float(found.group(1))):
        raise _invalid(text, quantity)
    return float(found.group(1)), found.group(2).lower()


def _hundredth(number: float) -> float:
    # number / 100 would make 0.7pt another limit than 0.007.
    return float(Decimal(str(number)) / 100)


def _at_most_one(share: float, text: str, quantity: Quantity) -> float:
    if share > 1:
        raise _invalid(text, quantity)
    return share


def _invalid(text: str, quantity: Quantity) -> UserError:
    return UserError(f"'{shortened(text)}' is not a valid limit of {quantity} ({QUANTITIES[quantity].allowed})")


def _points_in_words(limit: float | Budget) -> str:
    assert isinstance(limit, float)
    return f"{100 * limit:g} {'point' if 100 * limit == 1 else 'points'}"


@dataclass(frozen=True)
class QuantityKind:
    """How the limits of a quantity are read and written.

    Attributes:
        is_minimum: Whether limits are minima.
        parse: Reads a limit.
        in_words: Writes a limit.
        allowed: What limits are allowed, for errors.
    """

    is_minimum: bool
    parse: Callable[[str], float | Budget]
    in_words: Callable[[float | Budget], str]
    allowed: str


def _percentage(limit: float | Budget) -> str:
    assert isinstance(limit, float)
    return f"{100 * limit:.10g}%"


def _size_in_words(limit: float | Budget) -> str:
    assert isinstance(limit, Budget)
    return (
        f"{100 * limit.share:.10g}% of the original" if limit.share is not None else f"{(limit.size or 0) / 1e6:g} MB"
    )


_SHARES = "allowed: a share such as 0.98 or 98%"
QUANTITIES: Mapping[Quantity, QuantityKind] = {
    "drop": QuantityKind(False, _points, _points_in_words, "allowed: points such as 1pt, or a share such as 0.01"),
    "retained": QuantityKind(True, _share("retained"), _percentage, _SHARES),
    "accuracy": QuantityKind(True, _share("accuracy"), _percentage, _SHARES),
    "divergence": QuantityKind(
        False, _nats, lambda limit: f"{limit:g} nats", "allowed: a number of nats, such as 0.05"
    ),
    "agreement": QuantityKind(True, _share("agreement"), _percentage, _SHARES),
    "size": QuantityKind(False, parse_budget, _size_in_words, "allowed: a share such as 0.5 or 50%, or a size"),
}
