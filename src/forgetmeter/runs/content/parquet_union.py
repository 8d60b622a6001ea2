"""Many parquet files as one data frame, read by DuckDB if they are local, else by pyarrow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from forgetmeter.runs.filesystem import RunFolder

_GLOB = frozenset("*?[{")


@dataclass(frozen=True)
class Part:
    """One of the files.

    Attributes:
        path: Its path, relative to the run.
        keys: Columns to put before its own, each with one value for all rows.
    """

    path: str
    keys: Mapping[str, str]


def read_union(folder: RunFolder, parts: Sequence[Part], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the rows of all parts, in order; columns that a part lacks are null in its rows.

    Args:
        parts: At least one file; all with the same keys.
        columns: Columns to read; all by default.
    """
    paths = [folder.local_path(part.path) for part in parts]
    local = [path.as_posix() for path in paths if path is not None]
    # DuckDB would read a path with these characters as a pattern.
    if len(local) < len(parts) or any(_GLOB & set(path) for path in local):
        table = union_by_pyarrow(folder, parts, columns)
    else:
        table = union_by_duckdb(local, parts, columns)
    frame: pd.DataFrame = table.to_pandas()
    return frame


def union_by_duckdb(paths: Sequence[str], parts: Sequence[Part], columns: Sequence[str] | None) -> pa.Table:
    """Return the rows of all parts by one SQL query over ``paths``, the files of ``parts`` in order."""
    keys = {key: [part.keys[key] for part in parts] for key in parts[0].keys}
    parts_table = pa.table({**keys, "filename": list(paths), "position": list(range(len(parts)))})
    chosen = [f"stored.{_quoted(name)}" for name in columns or ()] or [
        "stored.* EXCLUDE (filename, file_row_number)",
    ]
    query = f"""
        SELECT {", ".join([f"parts.{_quoted(key)}" for key in keys] + chosen)}
        FROM read_parquet($paths, union_by_name = true, hive_partitioning = false,
                          filename = true, file_row_number = true) AS stored
        JOIN parts USING (filename)
        ORDER BY parts.position, stored.file_row_number
    """
    # Reading parquet needs no extension, so DuckDB must not download one.
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.register("parts", parts_table)
        table: pa.Table = connection.sql(query, params={"paths": list(paths)}).to_arrow_table()
    return table


def union_by_pyarrow(folder: RunFolder, parts: Sequence[Part], columns: Sequence[str] | None) -> pa.Table:
    """Return the rows of all parts, read file by file from any file system."""
    tables = []
    for part in parts:
        table = pq.read_table(io.BytesIO(folder.read(part.path)), columns=list(columns) if columns else None)
        for place, (key, value) in enumerate(part.keys.items()):
            table = table.add_column(place, key, pa.array([value] * len(table), pa.string()))
        tables.append(table.replace_schema_metadata(None))
    return pa.concat_tables(tables, promote_options="default")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
