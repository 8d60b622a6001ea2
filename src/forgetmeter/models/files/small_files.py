"""Small files next to a model's weights, which go with a copy of the model."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from forgetmeter.errors import UserError
from forgetmeter.models.files.model_files import TOKENIZER_FILES

PROCESSOR_FILES = (
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "audio_tokenizer_config.json",
)
"""Files that transformers' processors read next to a tokenizer's, for images, video and audio."""
OF_TOKENIZER = (*TOKENIZER_FILES, "chat_template*", "additional_chat_templates")
OF_MODEL = (*PROCESSOR_FILES, "generation_config.json", "LICENSE*", "NOTICE*", "USE_POLICY*")
PATTERNS = (*OF_TOKENIZER, *OF_MODEL)
"""Tokenizer, processors, generation configuration and licence, but no code."""


def companions(source: Path, patterns: Iterable[str] = PATTERNS) -> list[Path]:
    """Return the files and folders to copy."""
    return sorted({file for pattern in patterns for file in source.glob(pattern) if file.suffix != ".py"})


def size_of(companion: Path) -> int:
    """Return the bytes of a file, or of all files in a folder.

    Raises:
        UserError: It cannot be read, such as a broken link.
    """
    try:
        if companion.is_dir():
            return sum(file.stat().st_size for file in companion.rglob("*") if file.is_file())
        return companion.stat().st_size
    except OSError as error:
        raise UserError(f"{companion} cannot be read ({error.strerror or error}); fetch or remove it") from error


def copy_companions(source: Path, target: Path, patterns: Iterable[str] = PATTERNS) -> None:
    """Copy all companions, in place of those that the target has."""
    for file in companions(source, patterns):
        if file.is_dir():
            shutil.copytree(file, target / file.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py"))
        else:
            shutil.copyfile(file, target / file.name)
