"""Columns of a user's file: what its rows contain, and which columns are misspelled or not used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from forgetmeter.basics.plural import joined
from forgetmeter.errors import UserError
from forgetmeter.probes.from_file.rows import FileRow

_MISSPELLED = 0.6
# Higher, because a column that is not ours, such as idx next to id, is allowed.
_MISSPELLED_OPTIONAL = 0.85


@dataclass(frozen=True)
class FileForm:
    """The kind of a file's rows, and their columns.

    Attributes:
        name: Plural noun for the rows.
        required: The columns that the file must have.
        optional: Further columns that are read.
    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        return (*self.required, *self.optional)


QUESTIONS = FileForm("questions", ("prompt", "choices", "answer"), ("id", "group", "popularity"))
FACTS = FileForm("facts", ("subject", "relation", "object"), ("id", "popularity"))


def form_of(rows: Sequence[FileRow], path: Path) -> tuple[FileForm, tuple[str, ...]]:
    """Return what the rows hold, and the columns that are not used.

    Raises:
        UserError: Required columns are missing, the rows could be both, or a column is misspelled.
    """
    found = dict.fromkeys(column for row in rows for column in row.values)
    complete = [form for form in (QUESTIONS, FACTS) if all(column in found for column in form.required)]
    if len(complete) > 1:
        both = " and ".join(f"{form.name} ({', '.join(form.required)})" for form in complete)
        raise UserError(f"'{path}' has the columns of both {both}; put them into two files")
    if not complete:
        raise UserError(_incomplete(list(found), path))
    (form,) = complete
    seen: set[frozenset[str]] = set()
    for row in rows:
        # Rows of a JSON Lines file may differ in their columns.
        if (columns := frozenset(row.values)) not in seen:
            seen.add(columns)
            _check_spelling(row, form)
    return form, tuple(column for column in found if column not in form.columns)


def _incomplete(found: list[str], path: Path) -> str:
    form = max((QUESTIONS, FACTS), key=lambda each: sum(column in found for column in each.required))
    missing = [column for column in form.required if column not in found]
    others = [column for column in found if column not in form.columns]
    close = ((column, match) for column in missing for match in get_close_matches(column, others, 1))
    meant = next((f"; rename column '{match}' if it is meant to be '{column}'" for column, match in close), "")
    needed = f"questions need {', '.join(QUESTIONS.required)}; facts need {', '.join(FACTS.required)}"
    columns = f"column{'' if len(missing) == 1 else 's'} {joined(map(repr, missing))}"
    return f"'{path}' lacks the {columns}{meant} ({needed})"


def _check_spelling(row: FileRow, form: FileForm) -> None:
    """Refuse a column whose name is nearly that of one that is read and that this row lacks.

    Raises:
        UserError: There is such a column.
    """
    for columns, cutoff in ((form.required, _MISSPELLED), (form.optional, _MISSPELLED_OPTIONAL)):
        lacking = [column for column in columns if column not in row.values]
        for column in row.values:
            if column not in form.columns and (close := get_close_matches(column.lower(), lacking, 1, cutoff)):
                raise row.wrong(f"unknown column '{column}'; did you mean '{close[0]}'? rename it")
