"""Names and texts from outside, made safe to show, on a terminal and in files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_LINE_BREAKS = "\t\n"
# Bidirectional controls can make a text read differently from what it is.
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
# These also end lines and paragraphs; strings of older JavaScript, such as those of charts, must not contain them.
_SEPARATORS = [0x2028, 0x2029]
# Neither UTF-8 nor XML can represent them.
_NOT_TEXT = [*range(0xD800, 0xE000), 0xFFFE, 0xFFFF]
# From 0x7f on, JSON's notation keeps JSON output valid; JSON already escapes the lower ones.
_ESCAPES = {code: f"\\x{code:02x}" for code in range(0x20) if chr(code) not in _LINE_BREAKS}
_ESCAPES |= {code: f"\\u{code:04x}" for code in [*range(0x7F, 0xA0), *_DIRECTIONS, *_SEPARATORS, *_NOT_TEXT]}
_PICTURES = {code: chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}" for code in _ESCAPES}


def pictured(text: str) -> str:
    """Return the text with each control character replaced by one symbol, such as ␛; the length stays the same."""
    return text.translate(_PICTURES)


def visible(text: str) -> str:
    r"""Return the text with control characters escaped, such as ``\x1b``, so that none moves the cursor."""
    return text.translate(_ESCAPES)


def visible_line(text: str) -> str:
    """Return the text on one line, with control characters escaped."""
    return visible(" ".join(text.split()))


def encodable(text: str) -> str:
    """Return the text with lone surrogates escaped, which JSON may contain and UTF-8 cannot encode."""
    return text.encode(errors="backslashreplace").decode()


def each_text(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON value with each of its texts changed, keys included."""
    if isinstance(value, dict):
        return {change(key): each_text(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [each_text(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value
