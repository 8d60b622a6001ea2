"""A file of texts: paragraphs of plain text, or the documents of a .jsonl."""

from __future__ import annotations

import re
from pathlib import Path

from forgetmeter.errors import UserError
from forgetmeter.probes.json_lines import read_json_lines

_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_EXAMPLE = "perplexity:file=PATH"


def check_text_file(name: str) -> Path:
    """Return the path of a text file, having seen that there is one.

    Args:
        name: As in a task's name; empty where it names none.

    Raises:
        UserError: It names none, or there is no such file.
    """
    if not name:
        raise UserError(f"task 'perplexity' needs a text: write {_EXAMPLE}, plain text or a .jsonl with 'text'")
    path = Path(name).expanduser() if name.startswith("~/") else Path(name)
    if not path.is_file():
        raise UserError(f"there is no text file '{name}'; write {_EXAMPLE} with the path of one")
    return path


def read_text_file(path: Path) -> tuple[str, ...]:
    """Return the texts of a file, in order, without white space around them; empty ones are passed over.

    Of a ``.jsonl`` that is the value of ``text`` in each line; of any other file its paragraphs, which blank lines
    part.

    Raises:
        UserError: It cannot be read, is no text in UTF-8, or holds none.
    """
    if path.suffix == ".jsonl":
        lines = read_json_lines(path, mend="write an object with 'text' in each line")
        found = [line.text("text") for line in lines]
    else:
        found = _BLANK_LINES.split(_content(path))
    texts = tuple(text.strip() for text in found if text.strip())
    if not texts:
        raise UserError(f"text file '{path}' holds no text")
    return texts


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"text file '{path}' is not in UTF-8; convert it first") from None
    except OSError as error:
        raise UserError(f"text file '{path}' cannot be read ({error.strerror or error})") from error
