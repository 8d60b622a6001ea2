"""What was noted of a cell's items that were not asked, not asked whole, or not answered by numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

DROPPED = "dropped."
NAMED = "left_out."


def left_out(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return ``dropped``, ``named``, ``cut`` and ``not_numbers`` of ``CellSummary``, given a row of ``Run.cells``."""
    return {
        "dropped": counts(row, DROPPED),
        "named": {
            str(name).removeprefix(NAMED): value
            for name, value in row.items()
            if str(name).startswith(NAMED) and isinstance(value, str)
        },
        "cut": _whole(row.get("cut")),
        "not_numbers": _whole(row.get("not_numbers")),
    }


def counts(row: Mapping[Any, Any], prefix: str) -> dict[str, int]:
    """Return the numbers above zero in the columns that begin with a prefix, by the rest of their names."""
    found = {str(name).removeprefix(prefix): value for name, value in row.items() if str(name).startswith(prefix)}
    return {name: number for name, value in found.items() if (number := _whole(value))}


def _whole(value: Any) -> int:  # noqa: ANN401 - a cell of a data frame
    return 0 if value is None or pd.isna(value) else int(value)
