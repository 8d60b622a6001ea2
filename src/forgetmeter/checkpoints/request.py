"""What is asked for when a checkpoint is compressed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from forgetmeter.errors import UserError
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.suggestion import unknown

Format = Literal["dense", "compressed-tensors"]
FORMATS: tuple[Format, ...] = ("dense", "compressed-tensors")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEFAULT_SHARD_SIZE = "5GB"

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*([KMGT]B)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """A checkpoint to compress.

    Attributes:
        model: Where it is.
        recipe: What to do.
        out: The folder to be.
        format: How weights are stored.
        dtype: What floating-point weights are cast to before anything else; ``None`` leaves each as it is stored.
        max_shard_bytes: The most bytes of tensors in a file, unless a single one is larger.
        seed: For methods that draw at random.
        check: Whether to load the result again; ``None`` for where it is small enough.
    """

    model: ModelReference
    recipe: Recipe
    out: Path
    format: Format
    dtype: torch.dtype | None
    max_shard_bytes: int
    seed: int = 0
    check: bool | None = None


def known_format(text: str) -> Format:
    """Return a format by its name.

    Raises:
        UserError: There is none of that name.
    """
    for each in FORMATS:
        if each == text:
            return each
    raise UserError(f"--format: {unknown('format', text, FORMATS)}")


def known_dtype(text: str | None) -> torch.dtype | None:
    """Return a dtype by its name.

    Raises:
        UserError: There is none of that name.
    """
    if text is not None and text not in DTYPES:
        raise UserError(f"--dtype: {unknown('dtype', text, DTYPES)}")
    return None if text is None else DTYPES[text]


def size_in_bytes(text: str) -> int:
    """Read a size such as ``5GB``: decimal, as transformers reads it.

    Raises:
        UserError: It is none.
    """
    found = _SIZE.match(text.strip())
    size = round(float(found[1]) * _UNITS[(found[2] or "").upper()]) if found else 0
    if size < 1:
        raise UserError(f"--max-shard-size: '{text}' is no size; write a number with KB, MB, GB or TB, such as 5GB")
    return size
