"""Size limits of models: a share of the original size, or a number of bytes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from forgetmeter.basics.visible_text import visible_line
from forgetmeter.errors import UserError

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_FORM = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(%|[a-z]*)\s*", re.IGNORECASE)
_ALLOWED = "allowed: a share such as 0.5 or 50%, or a size such as 200MB, 1.5GB, 300MiB"
_LONGEST = 60


@dataclass(frozen=True)
class Budget:
    """A size limit: either a share or a size.

    Attributes:
        share: Share of the uncompressed model's bytes, above 0 and at most 1.
        size: Size in bytes.
    """

    share: float | None = None
    size: int | None = None

    def within(self, whole: int) -> int:
        """Return the limit in bytes for a model of ``whole`` bytes."""
        return self.size if self.size is not None else int((self.share or 0.0) * whole)

    def __str__(self) -> str:
        """Return the command-line form."""
        return decimal_text(self.share or 0.0) if self.size is None else f"{self.size}B"


def decimal_text(number: float) -> str:
    """Return a number in the form that limits are written in: all its digits, without an exponent."""
    return format(Decimal(str(number) if isinstance(number, float) else number), "f")


def shortened(text: str) -> str:
    """Return a limit on one line for an error message, without the middle of a very long one."""
    line = visible_line(text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]}…{line[-_LONGEST // 2 :]}"


def parse_budget(text: str) -> Budget:
    """Read a budget: a plain number or a percentage is a share; a number with a unit is a size.

    Raises:
        UserError: The text is not valid, or out of range.
    """
    found = _FORM.fullmatch(text)
    unit = found.group(2).lower() if found else ""
    if found is None or unit not in ("", "%", *_UNITS):
        raise UserError(f"'{shortened(text)}' is not a valid size limit ({_ALLOWED})")
    number = float(found.group(1))
    if unit in ("", "%"):
        share = number / 100 if unit else number
        if not 0 < share <= 1:
            raise UserError(
                f"size limit '{shortened(text)}' is not a valid share: it must be above 0 and at most 1 ({_ALLOWED})"
            )
        return Budget(share=share)
    if not math.isfinite(number * _UNITS[unit]):
        raise UserError(f"size limit '{shortened(text)}' is too large ({_ALLOWED})")
    size = int(number * _UNITS[unit])
    if size < 1:
        raise UserError(f"size limit '{shortened(text)}' is less than one byte ({_ALLOWED})")
    return Budget(size=size)
