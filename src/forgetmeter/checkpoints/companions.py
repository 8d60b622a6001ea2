"""The small files that go with a model's weights."""

from __future__ import annotations

import shutil
from pathlib import Path

PATTERNS = (
    "tokenizer*",
    "vocab*",
    "merges*",
    "*.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "generation_config.json",
    "LICENSE*",
    "NOTICE*",
    "USE_POLICY*",
)
"""Tokenizer, generation configuration and licence. Code is not among them."""


def copy_companions(source: Path, target: Path) -> tuple[str, ...]:
    """Copy them, and return their names."""
    found = sorted({file for pattern in PATTERNS for file in source.glob(pattern) if file.suffix != ".py"})
    for file in found:
        if file.is_dir():
            shutil.copytree(file, target / file.name)
        else:
            shutil.copyfile(file, target / file.name)
    return tuple(file.name for file in found)
