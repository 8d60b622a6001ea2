"""Files of a run that count as done, as their footer is whole, and whose other bytes are not what was written."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from forgetmeter.errors import UserError
from forgetmeter.runs.content.parquet_union import Part
from forgetmeter.runs.filesystem import RunFolder

_UNREADABLE = (OSError, pa.ArrowException)


@contextmanager
def damage_named(location: str, parts: Iterable[Part]) -> Iterator[None]:
    """Have what cannot be read in a ``with`` block named as a user can mend it.

    Args:
        location: The run.
        parts: The files that may be read in the block.

    Raises:
        UserError: One of them is damaged.
    """
    try:
        yield
    except (*_UNREADABLE, duckdb.Error) as error:
        folder = RunFolder(location)
        for part in parts:
            try:
                pq.read_table(io.BytesIO(folder.read(part.path)))
            except _UNREADABLE as cause:
                why = " ".join(str(cause).split())
                raise damaged(f"{part.path}' of the run at '{location}", why) from error
        raise


def damaged(path: str, why: str) -> UserError:
    """Return an error about a file of a run."""
    return UserError(f"'{path}' is damaged ({why}); remove it and run the study again")
