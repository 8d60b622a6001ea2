"""Failures of an engine to answer, in words."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from forgetmeter.errors import one_line

_MOST = 120


class EngineAnswerError(ArithmeticError):
    """An engine gave no answer, or one that is not of the kind that was requested."""


def described(error: BaseException) -> str:
    """Describe an engine's failure in one line; other errors than an endpoint's with the exception and its place."""
    if isinstance(error, EngineAnswerError):
        return str(error)
    # By name, because requests and aiohttp, which may not be installed, share no classes.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"JSONDecodeError", "ContentTypeError"}:
        return f"its answer is not JSON ({one_line(error, most=_MOST)})"
    if (status := _status(error)) is not None:
        return f"it answered with HTTP status {status}"
    if kinds & {"Timeout", "TimeoutError"}:
        return "it did not answer in time; raise timeout, or lower num_concurrent or batch_size"
    if kinds & {"ConnectionError", "ClientConnectionError", "ClientPayloadError", "ChunkedEncodingError"}:
        return f"it cannot be reached, or closed the connection ({one_line(error, most=_MOST)})"
    if str(error).strip():
        return f"{type(error).__name__}: {one_line(error)}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}, line {last.lineno}: {last.line}"


def _status(error: BaseException) -> str | None:
    """Return the status that an error of requests or aiohttp is about, with what the server says of it."""
    response: Any = getattr(error, "response", None)
    number = getattr(response, "status_code", getattr(error, "status", None))
    if not isinstance(number, int):
        return None
    said = getattr(response, "text", "") or getattr(response, "reason", "") or getattr(error, "message", "")
    return f"{number}: {' '.join(str(said).split())[:_MOST]}" if said else str(number)
