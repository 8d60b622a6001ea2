"""Bad lines in the JSON Lines files of a task, which ``datasets`` reports without file and line."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from forgetmeter.basics.json_text import DuplicateKeyError, parse_json
from forgetmeter.errors import UserError, one_line

_ROW = " in row 0"


def refuse_bad_lines(task: str, dataset_kwargs: Mapping[str, Any]) -> None:
    """Refuse a task with a line in its local files that ``datasets``, by pyarrow, cannot read.

    Args:
        task: The task's name.
        dataset_kwargs: Arguments of ``load_dataset``; ``data_files`` names the files.

    Raises:
        UserError: There is such a line, a file is empty, or one that is a single document has a duplicate key.
    """
    for path in map(Path, texts_in(dataset_kwargs.get("data_files"))):
        if path.is_file() and not path.read_bytes().strip():
            raise UserError(f"task '{task}': '{path}' is empty; write a JSON object in each line")
        if path.is_file() and not _is_one_document(task, path):
            for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
                if why := _problem(line):
                    raise UserError(f"task '{task}': '{path}' line {number} cannot be read ({why}); fix or remove it")


def texts_in(named: Any) -> Iterator[str]:  # noqa: ANN401 - from a task's definition
    """Yield the texts in a text, or in lists and mappings of such."""
    if isinstance(named, str):
        yield named
    elif isinstance(named, (list, Mapping)):
        for each in named.values() if isinstance(named, Mapping) else named:
            yield from texts_in(each)


def _is_one_document(task: str, path: Path) -> bool:
    try:
        parse_json(path.read_bytes())
    except DuplicateKeyError as error:
        raise UserError(f"task '{task}': '{path}' cannot be read ({error}); fix it") from None
    except ValueError:
        return False
    return True


def _problem(line: bytes) -> str | None:
    try:
        if line.strip():
            # pyarrow takes any bytes for text.
            line.decode()
            pyarrow.json.read_json(io.BytesIO(line))
    except (pa.ArrowException, ValueError) as error:
        return one_line(error).removesuffix(_ROW)
    return None
