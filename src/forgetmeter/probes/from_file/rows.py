"""Rows of JSON Lines, CSV, TSV and Parquet files, with errors that name the line."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from forgetmeter.basics.visible_text import encodable
from forgetmeter.errors import UserError, one_line, refusing_unreadable
from forgetmeter.probes.json_lines import read_json_lines

_MARKS = {",": "commas", "\t": "tabs"}
_FIX = "write a JSON object in each line, in UTF-8"
# Beyond 18 digits, it is not an index; int() refuses thousands.
_WHOLE = re.compile(r"\s*(\d{1,18})(?:\.0+)?\s*")
_QUOTES = 'put a value with {} or quotes in double quotes, and write each double quote in it twice ("")'


@dataclass(frozen=True)
class FileRow:
    """A row of a file. A value that is null, NaN or blank text counts as missing.

    Attributes:
        values: Its values by column.
        number: Its 1-based number among the rows.
        place: Its location, for messages.
        is_text: Whether all values are texts, as in CSV files; lists and numbers are then parsed.
    """

    values: Mapping[str, Any]
    number: int
    place: str
    is_text: bool = False

    def value(self, column: str) -> Any:  # noqa: ANN401 - as the file has it
        """Return a value, or ``None`` if it is missing."""
        value = self.values.get(column)
        is_missing = (isinstance(value, float) and math.isnan(value)) or (isinstance(value, str) and not value.strip())
        return None if is_missing else value

    def text(self, column: str) -> str | None:
        """Return a text, or ``None`` if it is missing.

        Raises:
            UserError: It is not text.
        """
        value = self.value(column)
        if value is not None and not isinstance(value, str):
            raise self._wrong_type(column, "text")
        return value

    def label(self, column: str) -> str:
        """Return a name, which may be an integer, without surrounding white space; empty if it is missing.

        Raises:
            UserError: It is something else.
        """
        value = self.value(column)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int))):
            raise self._wrong_type(column, "text")
        return "" if value is None else str(value).strip()

    def texts(self, column: str) -> tuple[str, ...]:
        """Return a list of texts; empty if it is missing.

        Raises:
            UserError: It is not a list of texts.
        """
        value = self._parsed(column)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            wanted = 'a JSON list of texts, such as ["yes", "no"]' if self.is_text else "a list of texts"
            raise self._wrong_type(column, wanted)
        return tuple(value)

    def one_or_more(self, column: str, *, verbatim: Sequence[str] = ()) -> tuple[str | int, ...]:
        """Return the texts and integers of a value that may be a list; empty if it is missing.

        Args:
            column: The column.
            verbatim: Texts that may start with ``[`` in a CSV file without being a list.

        Raises:
            UserError: It is something else, or starts like a JSON list but is not valid JSON.
        """
        value = self._parsed(column)
        if self.is_text and isinstance(value, str) and value.lstrip().startswith("[") and value not in verbatim:
            problem = f"'{column}' is {value!r:.60}, which starts like a JSON list but is not valid JSON"
            raise self.wrong(f'{problem}; put a text that starts with [ in a list, such as ["[x"]')
        found = value if isinstance(value, list) else [] if value is None else [value]
        whole = [int(each) if isinstance(each, float) and each.is_integer() else each for each in found]
        if not all(isinstance(each, (str, int)) and not isinstance(each, bool) for each in whole):
            raise self._wrong_type(column, "a text or an integer, or a list of them")
        return tuple(whole)

    def popularity(self) -> dict[str, str]:
        """Return the row's popularity as a field of its item; empty if it is missing.

        Raises:
            UserError: It is not a finite number.
        """
        value = self.value("popularity")
        if value is None:
            return {}
        try:
            number = json.loads(value) if self.is_text else value
            is_finite = isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
        except (ValueError, RecursionError, OverflowError):
            is_finite = False
        if not is_finite:
            raise self._wrong_type("popularity", "a number")
        return {"popularity": str(number)}

    def _parsed(self, column: str) -> Any:  # noqa: ANN401
        value = self.value(column)
        if self.is_text and value is not None and value.lstrip().startswith("["):
            try:
                return json.loads(value)
            except (ValueError, RecursionError):
                return value
        return value

    def wrong(self, what: str) -> UserError:
        """Return an error about this row."""
        return UserError(f"{self.place}: {what}")

    def _wrong_type(self, column: str, wanted: str) -> UserError:
        return self.wrong(f"'{column}' is {self.values[column]!r:.60}, not {wanted}")


def whole_number(text: str) -> int | None:
    """Return the index that a text says; ``1.0`` is one, as programs that cannot store missing integers write it."""
    match = _WHOLE.fullmatch(text)
    return int(match[1]) if match else None


def read_rows(path: Path, *, limit: int | None = None) -> list[FileRow]:
    """Return the rows of a file, or only the first N; empty lines are skipped.

    Raises:
        UserError: The file does not exist, has no rows, or cannot be read; the message names the line.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        allowed = ", ".join(_READERS)
        raise UserError(f"'{path}' must have one of these suffixes: {allowed}")
    if not path.is_file():
        raise UserError(f"'{path}' does not exist or is not a file")
    with refusing_unreadable(f"'{path}'"):
        rows = list(islice(reader(path), limit))
    if not rows:
        raise UserError(f"'{path}' has no rows")
    return rows


def _json_lines(path: Path) -> Iterator[FileRow]:
    for number, line in enumerate(read_json_lines(path, fix=_FIX), start=1):
        row = FileRow(line.record, number, f"'{path}' line {line.index + 1}")
        if other := next((name for name in row.values if encodable(name) != name), None):
            raise row.wrong(f"column '{encodable(other)}' is not valid Unicode; rename it")
        yield row


def _csv(path: Path, delimiter: str = ",") -> Iterator[FileRow]:
    number, line = 0, 1
    header: list[str] = []
    quotes = _QUOTES.format(_MARKS[delimiter])
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter, strict=True, skipinitialspace=True)
        try:
            for cells in reader:
                place = f"'{path}' line {line}"
                line = reader.line_num + 1
                if not "".join(cells).strip():
                    continue
                if not header:
                    header = _header([cell.strip() for cell in cells], place, delimiter)
                    continue
                if len(cells) != len(header):
                    raise UserError(f"{place}: {len(cells)} values for {len(header)} columns; {quotes}")
                number += 1
                yield FileRow(dict(zip(header, cells, strict=True)), number, place, is_text=True)
        except csv.Error as error:
            fix = "write such long values as JSON Lines" if "limit" in str(error) else quotes
            raise UserError(f"'{path}' line {line}: not valid CSV ({error}); {fix}") from error


def _header(names: list[str], place: str, delimiter: str = ",") -> list[str]:
    if len(names) == 1 and (other := next((mark for mark in ",;\t|" if mark in names[0]), None)):
        raise UserError(f"{place}: columns must be separated by {_MARKS[delimiter]}, not by {other!r}")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{place}: duplicate column '{twice}'")
    return names


def _parquet(path: Path) -> Iterator[FileRow]:
    try:
        file: Any = pq.ParquetFile(path)
        _header(file.schema_arrow.names, f"'{path}'")
        rows = (values for batch in file.iter_batches() for values in batch.to_pylist())
        for number, values in enumerate(rows, start=1):
            yield FileRow(values, number, f"'{path}' row {number}")
    except UnicodeDecodeError:
        raise
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise UserError(
            f"'{path}' cannot be read as Parquet ({one_line(error, most=80)}); write it again, or use CSV or JSON Lines"
        ) from error


_READERS: dict[str, Callable[[Path], Iterator[FileRow]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
    ".tsv": partial(_csv, delimiter="\t"),
    ".parquet": _parquet,
}
