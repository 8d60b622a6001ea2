"""JSON files of a run, each with a digest of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from forgetmeter.json_text import read_json, to_json

_DIGEST = "sha256"


class EditedError(ValueError):
    """A file's content is not what was written."""

    def __init__(self) -> None:
        super().__init__("edited since it was written")


def record_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON with a digest of the rest under ``sha256``."""
    return to_json({**document, _DIGEST: _digest(document)})


def read_record(content: bytes) -> dict[str, Any]:
    """Return a document without its digest. Those of earlier versions have none.

    Raises:
        EditedError: It was changed since it was written.
        ValueError: It is damaged.
    """
    document = read_json(content)
    if document.pop(_DIGEST, None) not in (None, _digest(document)):
        raise EditedError
    return document


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(to_json(document)).hexdigest()
