"""Size of the files that ``compress`` would write, computed from shapes alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path

from forgetmeter.checkpoints.formats import format_problems, kernel_problems, packing_of, quantizing, storage_for
from forgetmeter.checkpoints.in_memory import computing_dtype
from forgetmeter.checkpoints.outputs import Output, plan_outputs
from forgetmeter.checkpoints.request import DEFAULT_SHARD_SIZE, FORMATS, CompressionRequest, Format, size_in_bytes
from forgetmeter.checkpoints.source import StoredModel, open_source, stored_model
from forgetmeter.checkpoints.storage import PACKED
from forgetmeter.compression.applying.step import dropped_blocks, own_weights
from forgetmeter.compression.registry import load_method
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.files.safetensors_file import stored_tensor
from forgetmeter.models.files.writer import bytes_of_files
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.role import Block, Matrix

_CAST_BYTES = 2


@dataclass(frozen=True)
class PredictedSize:
    """The weight files that ``compress`` would write.

    Attributes:
        format: The smallest format, GPTQ's only if compressed-tensors cannot hold the result; ``None`` if it cannot be
            written.
        bytes: Size of the weight files on disk, including headers; 0 if the result cannot be written. Exact, except
            where transformers converts weights while loading, such as those of experts: there, the files that
            transformers writes may have headers a few kB smaller.
        why: Why the result cannot be written; empty if it can.
    """

    format: Format | None
    bytes: int
    why: str = ""


class SizePredictor:
    """Computes what ``compress`` would write for recipes of one model, which must not be quantized.

    Raises:
        UserError: The model cannot be loaded.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._source = open_source(checkpoint)

    @property
    def bytes_before(self) -> int:
        """Size of the model's own weight files; as float32 if they are unpacked, as those of a GGUF file are."""
        return self._source.bytes

    def of(self, recipe: Recipe) -> PredictedSize:
        """Return what would be written for a recipe that fits the model.

        Raises:
            UserError: Earlier steps drop everything that a step selects.
        """
        # The suggested alternatives are other recipes, which may be larger.
        problems = [problem for problem, _ in kernel_problems(recipe)]
        if problems:
            return PredictedSize(None, 0, problems[0])
        reference, skeleton = self._checkpoint.location.reference, self._checkpoint.skeleton
        of_format = (
            CompressionRequest(reference, recipe, Path(), format, None, size_in_bytes(DEFAULT_SHARD_SIZE))
            for format in FORMATS
        )
        possible = (
            each
            for each in of_format
            if each.format == "dense" or not (self._source.converted or any(format_problems(each, skeleton)))
        )
        # Plain, or in the first of the packed formats, which are nearly equal.
        predicted = (PredictedSize(each.format, self._size(each)) for each in islice(possible, 2))
        return min(predicted, key=lambda each: each.bytes)

    def _size(self, request: CompressionRequest) -> int:
        if self._source.converted:
            # transformers writes converted weights in their original layout, in its own files.
            dropped = dropped_blocks(request.recipe, own_weights(self._checkpoint.skeleton, self._checkpoint.matrices))
            return self._source.bytes - self._bytes_of(dropped) - self._bytes_cast(request, dropped)
        model = deepcopy(self._checkpoint.skeleton)
        stored = stored_model(model, self._source, str(request.model))
        outputs = plan_outputs(stored, model, request.recipe)
        names = storage_for(request, stored.matrices).names(outputs.values())
        tensors = (size for output in outputs.values() for size in _tensors(output, stored, request))
        return bytes_of_files(names, tensors, max_shard_bytes=request.max_shard_bytes)

    def _bytes_of(self, blocks: Set[Block]) -> int:
        prefixes = tuple(f"{path}.{number}." for path, number in blocks)
        return sum(
            stored_tensor(header).bytes
            for header in self._checkpoint.headers
            if prefixes and header.name.startswith(prefixes)
        )

    def _bytes_cast(self, request: CompressionRequest, dropped: Set[Block]) -> int:
        """Return the bytes that casts save in the blocks that remain."""
        left: dict[str, list[Matrix]] = {}
        for matrix in self._checkpoint.matrices:
            if matrix.block not in dropped:
                left.setdefault(matrix.parameter, []).append(matrix)
        width = computing_dtype(request, self._source).itemsize
        return sum(
            self._checkpoint.skeleton.get_parameter(name).numel() * (width - _CAST_BYTES)
            for name, matrices in left.items()
            if _is_cast(request.recipe, matrices)
        )


def _is_cast(recipe: Recipe, of_parameter: Sequence[Matrix]) -> bool:
    """Return whether a recipe stores all matrices of a parameter in 16 bits."""
    casts = [step for step in recipe.steps if load_method(step.method).declaration.kind == "casts"]
    is_rounded = any(step.scope.select(of_parameter) for step in quantizing(recipe))
    return not is_rounded and all(any(step.scope.selects(matrix) for step in casts) for matrix in of_parameter)


def _tensors(output: Output, stored: StoredModel, request: CompressionRequest) -> Iterator[tuple[int, int]]:
    """Yield the dtype's width and the size, both in bytes, of each tensor that stores a parameter."""
    entry = stored.source.entries[stored.keys[output.parameter]]
    of_parameter = [matrix for matrix in stored.matrices if matrix.parameter == output.parameter]
    rounding = [step for step in quantizing(request.recipe) if any(map(step.scope.selects, of_parameter))]
    if request.format != "dense" and rounding and (packing := packing_of(rounding[-1])) is not None:
        yield from PACKED[request.format].sizes(entry.stored.shape, packing)
    else:
        is_cast = bool(of_parameter) and _is_cast(request.recipe, of_parameter)
        width = _CAST_BYTES if is_cast else entry.dtype.itemsize
        yield width, prod(entry.stored.shape) * width
