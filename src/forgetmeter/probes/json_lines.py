"""Files of one JSON object a line, read line by line, with errors that name the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetmeter.errors import UserError

_KINDS = {str: "text", int: "a whole number", list: "a list"}


@dataclass(frozen=True)
class JsonLine:
    """One line of such a file.

    Attributes:
        record: What it holds.
        index: Its place in the file, from 0.
        path: The file.
        mend: What to do about a damaged file.
    """

    record: dict[str, Any]
    index: int
    path: Path
    mend: str

    def text(self, key: str) -> str:
        """Return a text that must be there.

        Raises:
            UserError: It is not, or is no text.
        """
        value = self.record.get(key)
        if not isinstance(value, str):
            raise self.wrong_type(key, str)
        return value

    def optional_text(self, key: str) -> str:
        """Return a text, or an empty one where there is none.

        Raises:
            UserError: What is there is no text.
        """
        return "" if self.record.get(key) is None else self.text(key)

    def objects(self, key: str) -> list[dict[str, Any]]:
        """Return a list of objects, or an empty one where there is none.

        Raises:
            UserError: What is there is no list of objects.
        """
        value = self.record.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.wrong(f"'{key}' is no list of objects")
        return value

    def texts(self, key: str) -> list[str]:
        """Return a list of texts that must be there.

        Raises:
            UserError: It is not.
        """
        value = self.record.get(key)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(f"'{key}' is missing" if value is None else f"'{key}' is no list of texts")
        return value

    def wrong_type(self, key: str, kind: type) -> UserError:
        """Return an error that says that a value is missing or of another kind."""
        if self.record.get(key) is None:
            return self.wrong(f"'{key}' is missing")
        return self.wrong(f"'{key}' is {self.record[key]!r:.60}, not {_KINDS[kind]}")

    def wrong(self, what: str) -> UserError:
        """Return an error about this line."""
        return UserError(f"'{self.path}' line {self.index + 1}: {what}; {self.mend}")


def read_json_lines(path: Path, *, mend: str) -> Iterator[JsonLine]:
    """Read a file line by line; empty lines are passed over.

    Args:
        path: The file, in UTF-8.
        mend: What to do about a damaged file, as the end of a message.

    Raises:
        UserError: The file cannot be read, holds nothing, or a line is no JSON object.
    """
    found = False
    try:
        # Lines are cut at line feeds alone: other separators that Unicode has may stand inside a JSON text.
        with path.open("rb") as stream:
            for index, line in enumerate(stream):
                if line.isspace():
                    continue
                found = True
                yield JsonLine(_parsed(line, index, path, mend), index, path, mend)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror or error}); {mend}") from error
    if not found:
        raise UserError(f"'{path}' is empty; {mend}")


def _parsed(line: bytes, index: int, path: Path, mend: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        cause = f"cut off or no JSON ({' '.join(str(error).split())[:80]})"
        raise UserError(f"'{path}' line {index + 1}: {cause}; {mend}") from error
    if not isinstance(record, dict):
        raise UserError(
            f"'{path}' line {index + 1}: no JSON object but {line.decode(errors='replace').strip()[:40]}; {mend}"
        )
    return record
