"""Table of the parts of a sensitivity, from most to least sensitive."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.basics.plural import megabytes
from forgetmeter.report.sensitivity_grid import UNITS, decimals_for
from forgetmeter.report.table import Table, TableRow
from forgetmeter.report.words.numbers import MISSING, count, magnitude, points_interval
from forgetmeter.results.sensitivity import Sensitivity
from forgetmeter.statistics.paired import Estimate

_LOSS = "loss"


def sensitivity_table(found: Sensitivity) -> Table:
    """Return the table; drops and rates are in percentage points."""
    parts = found.parts
    prunes, differ = any(part.removed_weights for part in parts), len({part.items for part in parts}) > 1
    columns: dict[str, list[str]] = {
        "drop [95%]": [points_interval(part.drop) for part in parts],
        f"per {UNITS[found.unit]} [95%]": rates_text([part.rate(found.unit) for part in parts]),
        _LOSS: ["seen" if part.is_loss else "none seen" for part in parts],
        "weights": [magnitude(part.weights) for part in parts],
        **({"removed": [magnitude(part.removed_weights) for part in parts]} if prunes else {}),
        "MB saved": megabytes(part.saved_bytes for part in parts),
        **({"items": [count(part.items) for part in parts]} if differ else {}),
        **({"per million removed": _values([part.per_million_removed for part in parts])} if prunes else {}),
    }
    rows = tuple(
        TableRow(str(part.scope), tuple(column[place] for column in columns.values()), is_strong=part.is_loss)
        for place, part in enumerate(parts)
    )
    texts = frozenset({_LOSS})
    return Table(found.model, found.task, (), tuple(columns), rows, optional=int(prunes), key="part", texts=texts)


def rates_text(estimates: Sequence[Estimate]) -> list[str]:
    """Return rates in percentage points with their intervals, all with the same number of decimals."""
    decimals = decimals_for(100 * each.value for each in estimates)
    return [
        f"{_points(each.value, decimals)} [{_points(each.low, decimals)}, {_points(each.high, decimals)}]"
        for each in estimates
    ]


def _values(estimates: Sequence[Estimate | None]) -> list[str]:
    decimals = decimals_for(100 * each.value for each in estimates if each is not None)
    return [MISSING if each is None else _points(each.value, decimals) for each in estimates]


def _points(share: float, decimals: int) -> str:
    text = f"{100 * share:,.{decimals}f}"
    return text if float(text.replace(",", "")) else text.removeprefix("-")
