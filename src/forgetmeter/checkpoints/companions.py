"""The small files that go with a model's weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from forgetmeter.errors import UserError

TOKENIZER_PATTERNS = ("tokenizer*", "vocab*", "merges*", "*.model")
PATTERNS = (
    *TOKENIZER_PATTERNS,
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "generation_config.json",
    "LICENSE*",
    "NOTICE*",
    "USE_POLICY*",
)
"""Tokenizer, generation configuration and licence. Code is not among them."""


def companions(source: Path, patterns: Iterable[str] = PATTERNS) -> list[Path]:
    """Return the files and folders that go along."""
    return sorted({file for pattern in patterns for file in source.glob(pattern) if file.suffix != ".py"})


def size_of(companion: Path) -> int:
    """Return how many bytes a file takes, or all files of a folder.

    Raises:
        UserError: It is a link to what is not there.
    """
    try:
        if companion.is_dir():
            return sum(file.stat().st_size for file in companion.rglob("*") if file.is_file())
        return companion.stat().st_size
    except OSError as error:
        raise UserError(f"{companion} cannot be read ({error.strerror or error}); fetch or remove it") from error


def copy_companions(source: Path, target: Path) -> None:
    """Copy them."""
    for file in companions(source):
        if file.is_dir():
            shutil.copytree(file, target / file.name)
        else:
            shutil.copyfile(file, target / file.name)
