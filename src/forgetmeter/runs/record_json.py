"""JSON files of a run, each with a digest of its content."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from forgetmeter.basics.json_text import read_json, to_json

_DIGEST = "sha256"


class EditedError(ValueError):
    """A file's content is not, or may not be, what was written; the message says why."""


def record_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON with a digest of the rest under ``sha256``."""
    return to_json({**document, _DIGEST: _digest(document)})


def read_record(content: bytes, *, has_digest: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
    """Return a document without its digest.

    Args:
        content: The file.
        has_digest: Whether a document was written with a digest; those of earlier versions have none.

    Raises:
        EditedError: It was changed since it was written, or has lost its digest.
        ValueError: It is damaged.
    """
    document = read_json(content)
    digest = document.pop(_DIGEST, None)
    if digest is None and has_digest(document):
        raise EditedError(f"its {_DIGEST} is missing, so it may have been edited")
    if digest not in (None, _digest(document)):
        raise EditedError("edited since it was written")
    return document


def is_canonical(content: bytes) -> bool:
    """Return whether a JSON file is, byte by byte, as it was written: in canonical form, with its own digest if any."""
    try:
        document = read_record(content, has_digest=lambda _: False)
    except ValueError:
        return False
    return content == (record_json(document) if carries_digest(content) else to_json(document))


def is_number(value: object) -> bool:
    """Return whether a JSON value is a number that can be computed with as a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def carries_digest(content: bytes) -> bool:
    """Return whether a JSON file has a digest, right or wrong; false if it is damaged."""
    try:
        return _DIGEST in read_json(content)
    except ValueError:
        return False


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(to_json(document)).hexdigest()
