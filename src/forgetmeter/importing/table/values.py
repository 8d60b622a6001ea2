"""Values of a table's cells: names, truth values and log-likelihoods, with errors that name the row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from forgetmeter.basics.visible_text import encodable
from forgetmeter.importing.imported_run import is_above_0
from forgetmeter.probes.from_file.rows import FileRow, whole_number

_TRUE_FALSE = {"true": True, "false": False}
_ONE_ZERO = {"1": True, "0": False}
_ALLOWED = "allowed: true and false, or 1 and 0"
TruthKind = Literal["true and false", "1 and 0"]


def text_in(row: FileRow, column: str) -> str:
    """Return a required value as text.

    Raises:
        UserError: It is missing.
    """
    text = optional_text_in(row, column)
    if not text:
        raise row.wrong(f"'{column}' is missing; fill it in, or leave the row out")
    return text


def optional_text_in(row: FileRow, column: str | None) -> str:
    """Return a value as text, without white space at its ends; empty if it is missing.

    Raises:
        UserError: It is neither text nor a number.
    """
    value = None if column is None else row.value(column)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        # Programs that cannot store missing integers make them fractions.
        return str(int(value))
    if not isinstance(value, (str, int, float)):
        raise row.wrong(f"'{column}' is {value!r:.60}, which is neither text nor a number")
    return encodable(str(value)).strip()


class TruthColumn:
    """A column that says whether answers are right, written in one way throughout."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._first: tuple[TruthKind, FileRow] | None = None

    def value_in(self, row: FileRow) -> bool:
        """Return whether a row's answer is right.

        Raises:
            UserError: The value is missing, not a truth value, or written differently from the first one.
        """
        text = text_in(row, self._column)
        written = text.lower()
        kind: TruthKind = "true and false" if written in _TRUE_FALSE else "1 and 0"
        whole, _, fraction = written.partition(".")
        number = written if fraction.strip("0") else whole
        if written not in _TRUE_FALSE and number not in _ONE_ZERO:
            raise row.wrong(f"'{self._column}' is '{text[:60]}' ({_ALLOWED})")
        first, other = self._first = self._first or (kind, row)
        if kind != first:
            before = optional_text_in(other, self._column)
            raise row.wrong(
                f"'{self._column}' is {text}, but {before} in {other.place}; write either true and false or 1 and 0 "
                "throughout"
            )
        return _TRUE_FALSE[written] if kind == "true and false" else _ONE_ZERO[number]


def loglikelihoods_in(row: FileRow, column: str | None) -> tuple[float, ...]:
    """Return the log-likelihoods of a row's choices: a list, or its JSON as text; empty if they are missing.

    Raises:
        UserError: They are not a list of numbers, or one is above 0.
    """
    value = None if column is None else row.value(column)
    if value is None:
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, Sequence) or not all(_is_number(each) for each in value):
        raise row.wrong(
            f"'{column}' is {row.values[str(column)]!r:.60}; write the log-likelihood of each choice as a list of "
            "numbers, such as [-1.5, -0.2]"
        )
    found = tuple(float(each) for each in value)
    above = next(filter(is_above_0, found), None)
    if above is not None:
        raise row.wrong(
            f"'{column}' has {above:g}, but a log-likelihood cannot be above 0; write the natural logarithms of "
            "probabilities"
        )
    return found


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and float(value) is not None
    except OverflowError:
        return False


def place_in(gold: str, choices: int) -> int | None:
    """Return the place of the right answer among the choices, if that is what a text says."""
    place = whole_number(gold)
    return place if place is not None and place < choices else None


def is_integer(text: str) -> bool:
    """Return whether a text may be meant as a place, even one that no list has."""
    return whole_number(text.removeprefix("-")) is not None


def refuse_other(row: FileRow, column: str | None, first: str, second: str, other: FileRow) -> None:
    """Check that two rows about one item agree.

    Raises:
        UserError: They do not.
    """
    if first != second:
        raise row.wrong(
            f"'{column}' is '{second[:60]}', but '{first[:60]}' in {other.place}, which is for the same item; make "
            "them agree"
        )
