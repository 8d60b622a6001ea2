"""Text files whose paragraphs or lines are a task's items."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from forgetmeter.errors import UserError
from forgetmeter.probes.json_lines import read_json_lines
from forgetmeter.records.item import Item, Problem, TaskDescription, WholeText
from forgetmeter.specs.task_name import TaskName, TaskOption

WITHOUT_TEXT = "line without text"
_MODELS_WINDOW = "model"
_VERSION = "1"
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")

FILE = TaskOption("", "The text file: paragraphs, or 'text' in each line of a .jsonl file.", kind="path")
WINDOW = TaskOption(
    _MODELS_WINDOW, "Maximum number of tokens per window; by default, the model's maximum.", kind="number"
)


def text_items(
    task: TaskName, path: Path, asks: type[WholeText], *, limit: int | None, metric: str
) -> tuple[tuple[Item, ...], TaskDescription]:
    """Return an item for each text of a file, read in the task's windows, and the task's description.

    Args:
        task: A task with the option ``WINDOW``.
        path: The file; a line without text is an item with a problem.
        asks: What is asked of each text.
        limit: Only the first N texts; ``None`` for all.
        metric: The task's primary metric.

    Raises:
        UserError: As for ``read_text_file``.
    """
    texts = read_text_file(path)
    window = None if task.value("window") == _MODELS_WINDOW else int(task.value("window"))
    items = tuple(
        Item(
            f"{task.base}/{place}",
            hashlib.sha256(f"{window}\n{text}".encode(errors="surrogatepass")).hexdigest()[:16],
            Problem(WITHOUT_TEXT) if text is None else asks(text, window),
        )
        for place, text in enumerate(texts[:limit])
    )
    return items, TaskDescription(str(task), _VERSION, path.name, metric, len(texts))


def check_text_file(task: TaskName) -> Path:
    """Return the path of a task's text file, which exists.

    Raises:
        UserError: The path is empty, or the file does not exist.
    """
    name, example = task.value("file"), f"{task.base}:file=PATH"
    if not name:
        raise UserError(
            f"task '{task.base}' needs a text file: write {example}, where PATH is plain text or a .jsonl file with "
            "a 'text' field on each line"
        )
    path = Path(name).expanduser() if name.startswith("~/") else Path(name)
    if not path.is_file():
        raise UserError(f"text file '{name}' does not exist; write {example}")
    return path


def read_text_file(path: Path) -> tuple[str | None, ...]:
    """Return the non-empty texts of a file, in order, stripped of white space.

    They are the values of ``text`` in a ``.jsonl`` file, ``None`` where it is missing or not text, and otherwise the
    paragraphs, separated by blank lines.

    Raises:
        UserError: The file cannot be read, is not UTF-8 or not JSON Lines, or contains no text.
    """
    found: Iterable[object]
    if path.suffix == ".jsonl":
        lines = read_json_lines(path, fix="write an object with 'text' in each line")
        found = [line.record.get("text") for line in lines]
    else:
        found = _BLANK_LINES.split(_content(path))
    stripped = (text.strip() if isinstance(text, str) else None for text in found)
    texts = tuple(text for text in stripped if text != "")
    if not any(texts):
        raise UserError(f"text file '{path}' contains no text")
    return texts


def _content(path: Path) -> str:
    try:
        # A byte order mark at the start is not text.
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"text file '{path}' is not UTF-8; convert it first") from None
    except OSError as error:
        raise UserError(f"text file '{path}' cannot be read ({error.strerror or error})") from error
