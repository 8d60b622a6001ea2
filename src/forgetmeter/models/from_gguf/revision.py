"""Finds the GGUF files that an earlier release tokenized differently, so that its results are not reused for them."""

from __future__ import annotations

import re
from pathlib import Path

TOKENS_REVISION = "tokens 2"
"""Part of the identity of these files alone: all others keep theirs, and finished runs on them are recognized."""

_HEADER = 1 << 26
"""Bytes in which the settings lie; a vocabulary of 260,000 tokens takes a third of them."""
_USER_DEFINED = 4
_STRING, _ARRAY, _BOOL = rb"\x08\0{3}.{8}", rb"\x09\0{3}.{4}(?P<count>.{8})", rb"\x07\0{3}"


def has_revised_tokens(file: Path) -> bool:
    """Return whether a file is among those that version 3 of the conversion read otherwise.

    These have a byte-level vocabulary with user-defined tokens or without rules for splitting words, or another
    vocabulary that adds no space to texts. Gemma's never did.
    """
    with file.open("rb") as stream:
        header = stream.read(_HEADER)
    if _find(header, rb"tokenizer\.ggml\.model" + _STRING + b"gpt2"):
        return not _find(header, rb"tokenizer\.ggml\.pre" + _STRING) or _USER_DEFINED in _token_types(header)
    is_gemma = _find(header, rb"general\.architecture" + _STRING + b"gemma")
    return bool(_find(header, rb"tokenizer\.ggml\.add_space_prefix" + _BOOL + rb"\0") and not is_gemma)


def _find(header: bytes, pattern: bytes) -> re.Match[bytes] | None:
    return re.search(pattern, header, re.DOTALL)


def _token_types(header: bytes) -> memoryview:
    found = _find(header, rb"tokenizer\.ggml\.token_type" + _ARRAY)
    if found is None:
        return memoryview(b"")
    count = min(int.from_bytes(found["count"], "little"), (len(header) - found.end()) // 4)
    return memoryview(header)[found.end() : found.end() + 4 * count].cast("i")
