"""Texts of data sets as a terminal may print them."""

from __future__ import annotations

_LINE_BREAKS = "\t\n"
# What turns the direction of writing, and so can have a text read otherwise than it is.
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
# From 0x7f on as JSON has it, so that JSON stays JSON; it escapes the others by itself.
_ESCAPES = {code: f"\\x{code:02x}" for code in range(0x20) if chr(code) not in _LINE_BREAKS}
_ESCAPES |= {code: f"\\u{code:04x}" for code in [*range(0x7F, 0xA0), *_DIRECTIONS]}
_PICTURES = {code: chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}" for code in _ESCAPES}


def pictured(text: str) -> str:
    """Return a text of the same length with a symbol, such as ␛, in place of each control character."""
    return text.translate(_PICTURES)


def visible(text: str) -> str:
    """Return a text whose control characters are written out, such as that of escape: none of it moves a cursor."""
    return text.translate(_ESCAPES)


def visible_line(text: str) -> str:
    """Return the same in one line."""
    return visible(" ".join(text.split()))
