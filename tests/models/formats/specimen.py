"""A tiny checkpoint in one format, and the same model in floating-point numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

GGUF_FILE = "model.gguf"


@dataclass(frozen=True)
class Specimen:
    """A checkpoint that a test makes.

    Attributes:
        format: Its format.
        variant: What sets it apart within the format, such as its bits.
        makers: The tools that write such files.
        write: Writes it into an empty folder, and returns the model with the plain weights that it stands for, or
            ``None`` if it is refused.
        package: The package that its reading needs beyond this one's requirements; of a refused format, the one
            without which it is.
        on_cuda: Whether ``tests/test_gpu.py`` reads it on a GPU, too.
    """

    format: str
    variant: str
    makers: str
    write: Callable[[Path], PreTrainedModel | None]
    package: str = ""
    on_cuda: bool = False

    def __str__(self) -> str:
        return f"{self.format}, {self.variant}" if self.variant else self.format


def checkpoint_in(folder: Path) -> Path:
    """Return what to load after a specimen was written into a folder."""
    return folder / GGUF_FILE if (folder / GGUF_FILE).is_file() else folder
