"""Opens GGUF files for reading, each once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gguf
import numpy as np
from gguf import GGUFReader
from numpy.typing import NDArray


class BoundedReader(GGUFReader):  # type: ignore[misc] # gguf is not followed by mypy
    """A reader that stops at the end of the file: gguf's own reads empty values there, as many as a header claims."""

    @property
    def data(self) -> NDArray[np.uint8]:
        """The file's bytes. As a plain array, since slices of ``memmap``, of which gguf takes millions, cost more."""
        return self._data

    @data.setter
    def data(self, mapped: NDArray[np.uint8]) -> None:
        self._data = mapped.view(np.ndarray)

    def _get(self, offset: int, dtype: Any, count: int = 1, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        if int(offset) + int(count) * np.dtype(dtype).itemsize > len(self.data):
            raise ValueError("its header lists more than the file holds")
        return super()._get(offset, dtype, count, *arguments, **options)


@contextmanager
def each_read_once() -> Iterator[None]:
    """Have a file's header read once, not for each of our checks, configuration, tokenizer and weights.

    transformers also looks up the names of all tensors for each module of the model; this is done once as well.
    """
    if gguf.GGUFReader is not GGUFReader:
        # Within another ``each_read_once``, which has read the file.
        yield
        return
    opened = cache(BoundedReader)

    def reader(path: str | Path, *_: object) -> GGUFReader:
        return opened(Path(path).resolve())

    with (
        patch.object(gguf, "GGUFReader", reader),
        patch.object(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)),
    ):
        yield
