"""Checks that a stored table can be read and has no missing values where there must be one."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError, one_line
from forgetmeter.runs.tables.items_table import OPTIONAL as OPTIONAL_OF_ITEMS
from forgetmeter.runs.tables.outcomes_table import METRIC
from forgetmeter.runs.tables.outcomes_table import OPTIONAL as OPTIONAL_OF_OUTCOMES


class NotCheckedError(Exception):
    """A table cannot be checked; the message says why."""


def read_outcomes(content: bytes) -> Any:  # noqa: ANN401 - of arrow
    """Return a file of outcomes.

    Raises:
        NotCheckedError: Values are missing.
    """
    table = pq.read_table(io.BytesIO(content))
    metrics = [name for name in table.column_names if name.startswith(METRIC)]
    _refuse_missing(table, {*OPTIONAL_OF_OUTCOMES, *metrics})
    return table


def check_items(content: bytes) -> None:
    """Check that a file of items can be read and lacks no values.

    Raises:
        NotCheckedError: Values are missing.
    """
    _refuse_missing(pq.read_table(io.BytesIO(content)), OPTIONAL_OF_ITEMS)


def or_error(path: str, check: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Yield the problems that a check finds, or that the file cannot be checked.

    An altered file may contradict anything that other code relies on, so no error of a check may end the others.

    Args:
        path: The file, or what else is checked.
        check: Finds the problems.
    """
    try:
        yield from check()
    except (NotCheckedError, UserError) as error:
        yield str(error)
    except Exception as error:  # noqa: BLE001 - see above
        yield f"{path} cannot be checked ({type(error).__name__}: {one_line(error)})"


def _refuse_missing(table: Any, optional: Collection[str]) -> None:  # noqa: ANN401
    missing = {name: _missing(table[name]) for name in table.column_names if name not in optional}
    said = [f"{counted(count, 'missing value')} in {name}" for name, count in missing.items() if count]
    if said:
        raise NotCheckedError(", ".join(said))


def _missing(column: Any) -> int:  # noqa: ANN401
    """Return the number of missing values of a column, and of its lists."""
    kind = column.type
    inside = pc.list_flatten(column).null_count if pa.types.is_list(kind) else 0
    return int(column.null_count + inside)
