"""JSON as the store writes it: the same content always gives the same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


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
        ValueError: It is not valid JSON (NaN and infinities are not), nested too deeply, or not an object.
    """
    return _read(text, parse_constant=_refuse_constant)


def read_loose_json(text: bytes) -> dict[str, Any]:
    """Read a JSON object of another program, which may contain NaN and infinities.

    Raises:
        ValueError: It is not JSON, nested too deeply, or not an object.
    """
    return _read(text)


def _read(text: bytes, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    try:
        document = json.loads(text, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None
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
