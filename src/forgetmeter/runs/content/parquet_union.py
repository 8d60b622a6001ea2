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
_ADDED = ("filename", "file_row_number")
_STORED = (
    "read_parquet($paths, union_by_name = true, hive_partitioning = false, filename = true, file_row_number = true)"
)


@dataclass(frozen=True)
class UnionPart:
    """One of the files.

    Attributes:
        path: Its path, relative to the run.
        keys: Columns to put before its own, each with one value for all rows; replace columns of the same names.
    """

    path: str
    keys: Mapping[str, str]


def read_union(folder: RunFolder, parts: Sequence[UnionPart], columns: Sequence[str] | None = None) -> pd.DataFrame:
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


def union_by_duckdb(paths: Sequence[str], parts: Sequence[UnionPart], columns: Sequence[str] | None) -> pa.Table:
    """Return the rows of all parts by one SQL query over ``paths``, the files of ``parts`` in order."""
    keys = {key: [part.keys[key] for part in parts] for key in parts[0].keys}
    parts_table = pa.table({**keys, "filename": list(paths), "position": list(range(len(parts)))})
    # Reading parquet needs no extension, so DuckDB must not download one.
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.register("parts", parts_table)
        params = {"paths": list(paths)}
        names = columns or connection.sql(f"FROM {_STORED}", params=params).columns
        chosen = _others(names, [*keys, *_ADDED])
        selected = [f"parts.{_quoted(key)}" for key in keys] + [f"stored.{_quoted(name)}" for name in chosen]
        query = f"""
            SELECT {", ".join(selected)}
            FROM {_STORED} AS stored JOIN parts USING (filename)
            ORDER BY parts.position, stored.file_row_number
        """
        table: pa.Table = connection.sql(query, params=params).to_arrow_table()
    return table


def union_by_pyarrow(folder: RunFolder, parts: Sequence[UnionPart], columns: Sequence[str] | None) -> pa.Table:
    """Return the rows of all parts, read file by file from any file system."""
    tables = []
    for part in parts:
        table = pq.read_table(io.BytesIO(folder.read(part.path)), columns=list(columns) if columns else None)
        table = table.select(_others(table.column_names, list(part.keys)))
        for place, (key, value) in enumerate(part.keys.items()):
            table = table.add_column(place, key, pa.array([value] * len(table), pa.string()))
        tables.append(table.replace_schema_metadata(None))
    return pa.concat_tables(tables, promote_options="default")


def _others(names: Sequence[str], excluded: Sequence[str]) -> list[str]:
    return [name for name in names if name not in excluded]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
