"""Hidden states between blocks, kept for variants that change nothing before them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from forgetmeter.basics.quiet import quiet
from forgetmeter.models.skipping import mapped, returning, tensors
from forgetmeter.scoring.rows.batch import Batch
from forgetmeter.scoring.rows.reading import Forward
from forgetmeter.specs.role import Matrix

IN_MEMORY = 1 << 30
"""Bytes of states to keep in memory."""
IN_FILES = 4 << 30
"""Bytes of further states to keep in temporary files."""
_TOLERANCE = 1e-6
"""Largest difference of logits with reused states, as a share of the largest logit."""
_OUTSIDE = ("head", "head_transform")


def unchanged_blocks(changed: Iterable[Matrix], blocks: int) -> int:
    """Return how many leading blocks compute the same if these matrices change; 0 if one of them feeds the first."""
    firsts = [
        matrix.block[1] if matrix.block is not None else blocks if matrix.role.component in _OUTSIDE else 0
        for matrix in changed
    ]
    return min([*firsts, blocks])


def block_list(matrices: Iterable[Matrix]) -> str | None:
    """Return the name of a model's only list of blocks; ``None`` if it has several, or none."""
    names = {matrix.block[0] for matrix in matrices if matrix.block is not None}
    return names.pop() if len(names) == 1 else None


class ReusedStates:
    """Outputs of blocks for batches that were read before.

    Processing a batch starts after the last block whose output is stored and that the variant leaves unchanged. The
    first time for each variant, the batch is also processed from the start: if the logits differ, as in a model whose
    later blocks use more of earlier ones than their output, the output is not reused.

    Attributes:
        is_used: Whether any output was stored or reused since the last ``start``.

    Args:
        blocks: Name of the model's only list of blocks.
        in_memory: Bytes of states to keep in the memory of the model's device.
        in_files: Bytes of further states to keep in temporary files.
    """

    def __init__(self, blocks: str, *, in_memory: int = IN_MEMORY, in_files: int = IN_FILES) -> None:
        self._blocks = blocks
        self._store = _Store(in_memory, in_files)
        self._states: dict[Batch, dict[int, Any]] = {}
        self._is_exact: dict[int, bool] = {}
        self._unchanged = 0
        self._wanted: set[int] = set()
        self.is_used = False

    def start(self, unchanged: int, *, wanted: Iterable[int] = ()) -> None:
        """Begin with another variant.

        Args:
            unchanged: Number of leading blocks that it leaves unchanged.
            wanted: The same of each variant that follows.
        """
        self._unchanged, self._wanted = unchanged, set(wanted)
        self._is_exact, self.is_used = {}, False

    def forward(self, run: Forward) -> Forward:
        """Return a function that runs the model on a batch, from the last block whose stored output is still valid."""

        def forward(model: PreTrainedModel, batch: Batch) -> Tensor:
            stored = self._states.get(batch, {}).keys()
            start = max(
                (each for each in stored if each <= self._unchanged and self._is_exact.get(each, True)), default=0
            )
            if start and start not in self._is_exact:
                self._is_exact[start] = self._try(run, model, batch, start)
                return forward(model, batch)
            missing = {each for each in self._wanted if start < each <= self._unchanged} - stored
            self.is_used |= bool(start or missing)
            with self._skipping(model, batch, start), self._recording(model, batch, missing):
                return run(model, batch)

        return forward

    def _try(self, run: Forward, model: PreTrainedModel, batch: Batch, start: int) -> bool:
        whole = run(model, batch)
        try:
            with self._skipping(model, batch, start), quiet():
                part = run(model, batch)
        except Exception:  # noqa: BLE001 - any architecture's own code may raise anything
            return False
        return bool((whole - part).abs().max() <= _TOLERANCE * whole.abs().max())

    @contextmanager
    def _skipping(self, model: PreTrainedModel, batch: Batch, start: int) -> Iterator[None]:
        """Have the first blocks return the kept output of the last of them."""
        if not start:
            yield
            return
        output = self._store.read(self._states[batch][start])
        with ExitStack() as undoing:
            for block in _blocks(model, self._blocks)[:start]:
                undoing.enter_context(returning(block, output))
            yield

    @contextmanager
    def _recording(self, model: PreTrainedModel, batch: Batch, boundaries: Iterable[int]) -> Iterator[None]:
        with ExitStack() as undoing:
            for boundary in boundaries:
                block = _blocks(model, self._blocks)[boundary - 1]
                undoing.callback(block.register_forward_hook(self._keeper(batch, boundary)).remove)
            yield

    def _keeper(self, batch: Batch, boundary: int) -> Callable[..., None]:
        def keep(_: nn.Module, __: object, output: Any) -> None:  # noqa: ANN401
            if (kept := self._store.keep(output)) is not None:
                self._states.setdefault(batch, {})[boundary] = kept

        return keep


def _blocks(model: PreTrainedModel, name: str) -> list[nn.Module]:
    blocks = model.get_submodule(name)
    assert isinstance(blocks, nn.ModuleList)
    return [*blocks]


class _Store:
    """Keeps tensors, alone or in nested tuples, within a budget: in memory, then in files."""

    def __init__(self, in_memory: int, in_files: int) -> None:
        self._in_memory, self._in_files = in_memory, in_files
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files = 0

    def keep(self, value: Any) -> Any:  # noqa: ANN401
        """Return a copy; ``None`` if the budget, or what the device or the disk has left, does not suffice."""
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors(value))
        try:
            if size <= self._in_memory:
                self._in_memory -= size
                return mapped(value, torch.clone)
            if size <= self._in_files and all(tensor.device.type == "cpu" for tensor in tensors(value)):
                self._in_files -= size
                return mapped(value, self._in_a_file)
        except (OSError, RuntimeError):
            # Also torch's error of a full disk, or of a device that is out of memory.
            self._in_memory = self._in_files = 0
        return None

    def read(self, kept: Any) -> Any:  # noqa: ANN401
        """Return what was kept, as tensors that may be changed in place."""
        return mapped(kept, torch.clone)

    def _in_a_file(self, tensor: Tensor) -> Tensor:
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="forgetmeter-states-")
        self._files += 1
        path = str(Path(self._folder.name, str(self._files)))
        if shutil.disk_usage(self._folder.name).free < 2 * tensor.numel() * tensor.element_size():
            # Writing to a mapped file on a full disk would kill the process.
            raise OSError("the disk is full")
        mapped = torch.from_file(path, shared=True, size=tensor.numel(), dtype=tensor.dtype)
        return mapped.copy_(tensor.flatten()).view(tensor.shape)
