"""Damaged files of a run: their footer is intact, so they count as done, but other bytes are not."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import duckdb
import pyarrow.parquet as pq

from forgetmeter.errors import UserError
from forgetmeter.runs.content.parquet_union import UnionPart, read_union
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.runs.tables.metadata import UNREADABLE


@contextmanager
def damage_named(location: str, parts: Iterable[UnionPart]) -> Iterator[None]:
    """Turn a read error in a ``with`` block into an error that names the damaged file.

    Args:
        parts: The files that the block may read.

    Raises:
        UserError: One of them is damaged.
    """
    try:
        yield
    except (*UNREADABLE, duckdb.Error) as error:
        folder = RunFolder(location)
        for part in parts:
            try:
                pq.read_table(io.BytesIO(folder.read(part.path)))
                # DuckDB reads parts of a footer that pyarrow skips.
                read_union(folder, [part])
            except (*UNREADABLE, duckdb.Error) as cause:
                why = " ".join(str(cause).split())
                raise damaged(f"{part.path}' of the run at '{location}", why) from error
        raise


def damaged(path: str, why: str) -> UserError:
    """Return the error for a damaged file of a run."""
    return UserError(f"'{path}' is damaged ({why}); delete it and run the study again")
