"""Rows of a table: CSV, JSON Lines or Parquet, with errors that name the row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from forgetmeter.errors import UserError, one_line
from forgetmeter.probes.json_lines import read_json_lines
from forgetmeter.specs.suggestion import unknown

FORMATS = ".csv, .jsonl or .parquet"
_FIX = "fix the line, or leave it out"


@dataclass(frozen=True)
class AnswerRow:
    """One row of a table.

    Attributes:
        values: Its values by column.
        place: Where it is: ``line 3``, or in Parquet ``row 3``, counted from 1.
        path: The file.
    """

    values: Mapping[str, object]
    place: str
    path: Path

    def wrong(self, what: str) -> UserError:
        """Return an error about this row."""
        return UserError(f"'{self.path}' {self.place}: {what}")


def read_rows(path: Path, columns: Iterable[str], *, optional: str | None = None) -> list[AnswerRow]:
    """Read a table.

    Args:
        columns: The columns to read.
        optional: Another one, which the table need not have.

    Raises:
        UserError: The file cannot be read, or lacks a column.
    """
    readers = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    required = list(dict.fromkeys(columns))
    if path.suffix.lower() not in readers:
        raise UserError(f"'{path}': a table must be {FORMATS}")
    if not path.is_file():
        raise UserError(f"'{path}' does not exist, or is not a file")
    try:
        rows = list(readers[path.suffix.lower()](path, required, optional))
    except (OSError, csv.Error, pa.ArrowException) as error:
        raise UserError(f"'{path}' cannot be read ({one_line(error)})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"'{path}' is not UTF-8; convert it first") from error
    if not rows:
        raise UserError(f"'{path}' has no rows")
    return rows


def _csv(path: Path, columns: list[str], _optional: str | None) -> Iterator[AnswerRow]:
    # A byte order mark at the start is not part of the first column's name.
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        names = next(reader, [])
        _check_columns(path, columns, names)
        last = reader.line_num
        try:
            for values in reader:
                # A value in quotation marks may contain line breaks.
                place, last = f"line {last + 1}", reader.line_num
                if not values:
                    continue
                row = AnswerRow(dict(zip(names, values, strict=False)), place, path)
                if len(values) != len(names):
                    raise row.wrong(f"{len(values)} values, but the header has {len(names)} columns; {_FIX}")
                yield row
        except csv.Error as error:
            raise UserError(f"'{path}' line {last + 1}: {one_line(error)}; {_FIX}") from error


def _json_lines(path: Path, columns: list[str], _optional: str | None) -> Iterator[AnswerRow]:
    rows = [AnswerRow(line.record, f"line {line.index + 1}", path) for line in read_json_lines(path, fix=_FIX)]
    # An object may omit columns that it has no value for.
    _check_columns(path, columns, list(dict.fromkeys(name for row in rows for name in row.values)))
    yield from rows


def _parquet(path: Path, columns: list[str], optional: str | None) -> Iterator[AnswerRow]:
    stored = pq.ParquetFile(path)
    _check_columns(path, columns, stored.schema_arrow.names)
    more = [optional] if optional in stored.schema_arrow.names else []
    values = stored.read(columns=[*columns, *more]).to_pylist()
    yield from (AnswerRow(value, f"row {number}", path) for number, value in enumerate(values, start=1))


def _check_columns(path: Path, columns: Iterable[str], names: list[str]) -> None:
    for name in columns:
        if name not in names:
            raise UserError(unknown("column", name, names, within=f"'{path}'"))
        if names.count(name) > 1:
            raise UserError(f"'{path}' has two columns '{name}'; rename one of them")
