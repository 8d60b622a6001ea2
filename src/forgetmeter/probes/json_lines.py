"""JSON Lines files, with errors that name the line."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetmeter.basics.json_text import DuplicateKeyError, parse_json
from forgetmeter.errors import UserError, one_line

_KINDS = {str: "text", int: "an integer", list: "a list"}


@dataclass(frozen=True)
class JsonLine:
    """One line of a JSON Lines file.

    Attributes:
        record: The JSON object.
        index: 0-based line number.
        path: The file.
        fix: Advice for a damaged file, as the end of a message.
    """

    record: dict[str, Any]
    index: int
    path: Path
    fix: str

    def text(self, key: str) -> str:
        """Return a required text.

        Raises:
            UserError: It is missing or not text.
        """
        value = self.record.get(key)
        if not isinstance(value, str):
            raise self.wrong_type(key, str)
        return value

    def filled_text(self, key: str) -> str:
        """Return a required text that is not blank.

        Raises:
            UserError: It is missing, blank or not text.
        """
        value = self.text(key)
        if not value.strip():
            raise self.wrong(f"'{key}' is empty")
        return value

    def optional_text(self, key: str) -> str:
        """Return a text, or an empty string if it is missing.

        Raises:
            UserError: It is not text.
        """
        return "" if self.record.get(key) is None else self.text(key)

    def objects(self, key: str) -> list[dict[str, Any]]:
        """Return a list of objects, or an empty list if it is missing.

        Raises:
            UserError: It is not a list of objects.
        """
        value = self.record.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.wrong(f"'{key}' must be a list of objects")
        return value

    def texts(self, key: str) -> list[str]:
        """Return a required list of texts.

        Raises:
            UserError: It is missing or not a list of texts.
        """
        value = self.record.get(key)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(f"'{key}' is missing" if value is None else f"'{key}' must be a list of texts")
        return value

    def wrong_type(self, key: str, kind: type) -> UserError:
        """Return the error for a value that is missing or has another type."""
        if self.record.get(key) is None:
            return self.wrong(f"'{key}' is missing")
        return self.wrong(f"'{key}' is {self.record[key]!r:.60}, not {_KINDS[kind]}")

    def wrong(self, what: str) -> UserError:
        """Return an error about this line."""
        return UserError(f"'{self.path}' line {self.index + 1}: {what}; {self.fix}")


def read_json_lines(path: Path, *, fix: str) -> Iterator[JsonLine]:
    """Read a JSON Lines file, skipping empty lines.

    Args:
        path: The file, in UTF-8.
        fix: Advice for a damaged file, as the end of a message.

    Raises:
        UserError: The file cannot be read or is empty, or a line is not a JSON object.
    """
    found = False
    try:
        # Binary mode splits at line feeds only; JSON strings may contain Unicode's other line separators.
        with path.open("rb") as stream:
            for index, line in enumerate(stream):
                if not (line.removeprefix(BOM_UTF8) if index == 0 else line).strip():
                    continue
                found = True
                yield JsonLine(_parsed(line, index, path, fix), index, path, fix)
    except OSError as error:
        advice = fix if isinstance(error, FileNotFoundError) else "check the file and its permissions"
        raise UserError(f"'{path}' cannot be read ({error.strerror or error}); {advice}") from error
    if not found:
        raise UserError(f"'{path}' is empty; {fix}")


def _parsed(line: bytes, index: int, path: Path, fix: str) -> dict[str, Any]:
    try:
        record = parse_json(line.decode("utf-8-sig", "surrogatepass"))
    except UnicodeDecodeError:
        raise UserError(f"'{path}' line {index + 1}: not valid JSON (not UTF-8); {fix}") from None
    except DuplicateKeyError as error:
        raise UserError(f"'{path}' line {index + 1}: {error}; {fix}") from None
    except ValueError as error:
        cause = f"not valid JSON ({one_line(error, most=80)})"
        raise UserError(f"'{path}' line {index + 1}: {cause}; {fix}") from error
    if not isinstance(record, dict):
        raise UserError(
            f"'{path}' line {index + 1}: not a JSON object: {line.decode(errors='replace').strip()[:40]}; {fix}"
        )
    return record
