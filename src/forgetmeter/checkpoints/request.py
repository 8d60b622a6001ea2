"""Request to compress a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch

from forgetmeter.compression.registry import drops_blocks
from forgetmeter.config.study import CalibrationSettings
from forgetmeter.errors import UserError, one_line
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.suggestion import refuse_type, unknown

Format = Literal["dense", "compressed-tensors", "gptq"]
FORMATS: tuple[Format, ...] = get_args(Format)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEFAULT_SHARD_SIZE = "5GB"

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*([KMGT]B)?$", re.IGNORECASE)


@dataclass(frozen=True)
class CompressionRequest:
    """A checkpoint to compress.

    Attributes:
        model: Its reference.
        recipe: The recipe.
        out: Output folder.
        format: Storage format of the weights.
        dtype: Dtype to cast floating-point weights to before compression; ``None`` keeps the stored dtypes.
        max_shard_bytes: Size limit of the tensors per file; only a single tensor may exceed it.
        seed: Seed for random methods.
        check: Whether to load the result again; ``None`` to do so if it is small enough.
        calibration: Calibration text settings, for methods that need activations.
    """

    model: ModelReference
    recipe: Recipe
    out: Path
    format: Format
    dtype: torch.dtype | None
    max_shard_bytes: int
    seed: int = 0
    check: bool | None = None
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)


@contextmanager
def refusing_settings(request: CompressionRequest) -> Iterator[None]:
    """Refuse a recipe whose result transformers cannot describe by a configuration.

    Raises:
        UserError: The configuration is not valid, such as one that cannot describe the blocks that are left.
        OSError: The disk is full or fails.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        # transformers validates configurations, such as per-block settings, with several kinds of errors.
        drops = drops_blocks(request.recipe)
        what = f"cannot describe the blocks that '{request.recipe}' leaves" if drops else "is refused by transformers"
        instead = "choose another recipe" if drops else "correct it"
        raise UserError(
            f"the configuration of {request.model} {what} ({one_line(error)}); nothing was written; {instead}"
        ) from error


def known_format(text: str) -> Format:
    """Return a format by its name.

    Raises:
        UserError: The format is unknown.
    """
    for each in FORMATS:
        if each == text:
            return each
    raise UserError(f"--format: {unknown('format', text, FORMATS)}")


def known_dtype(text: str | None) -> torch.dtype | None:
    """Return a dtype by its name.

    Raises:
        UserError: The dtype is unknown.
    """
    if text is not None and text not in DTYPES:
        raise UserError(f"--dtype: {unknown('dtype', text, DTYPES)}")
    return None if text is None else DTYPES[text]


def size_in_bytes(text: str) -> int:
    """Parse a size such as ``5GB``, in decimal units as in transformers.

    Raises:
        UserError: It is not a valid size.
    """
    refuse_type("--max-shard-size", text, str)
    found = _SIZE.match(text.strip())
    size = round(float(found[1]) * _UNITS[(found[2] or "").upper()]) if found else 0
    if size < 1:
        raise UserError(f"--max-shard-size: '{text}' is not a valid size; use a number with KB, MB, GB or TB, e.g. 5GB")
    return size
