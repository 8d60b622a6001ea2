"""Data set texts made safe to print on a terminal."""

from __future__ import annotations

_LINE_BREAKS = "\t\n"
# Bidirectional controls can make a text read differently from what it is.
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
# From 0x7f on, JSON's notation keeps JSON output valid; JSON already escapes the lower ones.
_ESCAPES = {code: f"\\x{code:02x}" for code in range(0x20) if chr(code) not in _LINE_BREAKS}
_ESCAPES |= {code: f"\\u{code:04x}" for code in [*range(0x7F, 0xA0), *_DIRECTIONS]}
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
