"""JSON as the store writes it: the same content always gives the same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


class DuplicateKeyError(ValueError):
    """A JSON object has a duplicate key; Python's parser would keep the last value."""


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as UTF-8 JSON: sorted keys, indent 2, trailing newline; NaN and infinities become ``null``.

    Raises:
        TypeError: A value cannot be represented in JSON.
    """
    text = json.dumps(_finite(document), sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    # A lone surrogate, which UTF-8 cannot encode, becomes its escape in JSON.
    return (text + "\n").encode(errors="backslashreplace")


def read_json(text: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: It is not valid JSON (NaN and infinities are not), nested too deeply, not an object, or has a
            duplicate key.
    """
    return _read(text, parse_constant=_refuse_constant)


def read_loose_json(text: bytes) -> dict[str, Any]:
    """Read a JSON object that another program wrote, which may contain NaN and infinities.

    Raises:
        ValueError: As ``read_json``.
    """
    return _read(text)


def parse_json(text: str | bytes, **options: Any) -> Any:  # noqa: ANN401 - any value, and options of ``json.loads``
    """Read a JSON value; NaN and infinities are values, too.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
        DuplicateKeyError: An object in it has a duplicate key.
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise DuplicateKeyError(f"duplicate key {next(key for key in keys if keys.count(key) > 1)!r:.60}")
    return found


def _read(text: bytes, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    document = parse_json(text, **options)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
