"""Compresses a checkpoint into a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch

from forgetmeter.basics.plural import counted, listed
from forgetmeter.checkpoints.companions import model_card, remove_code_references, shown_model, source_facts
from forgetmeter.checkpoints.formats import format_problems, kernel_problems, packing_of, quantizing, storage_for
from forgetmeter.checkpoints.in_memory import (
    MOST_CHECKED_BYTES,
    check_reloaded,
    check_tokenizer,
    variant_weights,
    write_whole,
)
from forgetmeter.checkpoints.output_folder import all_or_nothing, check_apart, check_output, check_room, refuse_url
from forgetmeter.checkpoints.outputs import Output, plan_outputs
from forgetmeter.checkpoints.request import (
    DEFAULT_SHARD_SIZE,
    FORMATS,
    CompressionRequest,
    known_dtype,
    known_format,
    refusing_settings,
    size_in_bytes,
)
from forgetmeter.checkpoints.scratch import Scratch
from forgetmeter.checkpoints.source import Source, StoredModel, open_source, stored_model
from forgetmeter.checkpoints.streaming import Sink, compress_stored
from forgetmeter.checkpoints.written import Written
from forgetmeter.compression.applying.compressor import checked_seed
from forgetmeter.compression.applying.recipe_problems import needs_activations, recipe_problems
from forgetmeter.compression.forms.weight import Weight, dropped_among
from forgetmeter.compression.registry import drops_blocks, load_method
from forgetmeter.config.study import CalibrationSettings
from forgetmeter.errors import UserError, refuse
from forgetmeter.models.checkpoint import Checkpoint, open_checkpoint
from forgetmeter.models.files.model_files import TOKENIZER_FILES
from forgetmeter.models.files.small_files import companions, copy_companions, size_of
from forgetmeter.models.files.writer import CheckpointWriter, write_text
from forgetmeter.models.location import Location
from forgetmeter.models.on_disk.quantization import float32_bytes, quantized_problem
from forgetmeter.records.variant import Reached
from forgetmeter.scoring.calibration import calibration_calls
from forgetmeter.scoring.calibration_texts import text_digest
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import BASELINE, Recipe, parse_recipe
from forgetmeter.specs.role import Matrix
from forgetmeter.specs.suggestion import refuse_type

_COPIES = 3
"""What calibrated methods take, in sizes of the model in float32: it, its results, and what is installed of them."""
_SMALL_FILES = 1_000_000
"""Bytes reserved for headers, configuration and card."""
_UNUSED_SHOWN = 3


def compress_checkpoint(
    model: str | Path,
    recipe: Recipe | str,
    out: Path | str,
    *,
    format: str = "dense",
    dtype: str | None = None,
    max_shard_size: str = DEFAULT_SHARD_SIZE,
    seed: int = 0,
    check: bool | None = None,
    calibration: CalibrationSettings | None = None,
) -> Written:
    """Compress a checkpoint into a new folder that ``from_pretrained`` loads.

    The whole model is held in memory only for methods that need activations, if there is room for it; to convert a
    GGUF file; for architectures whose weights transformers converts while loading, such as some mixtures of experts;
    and to check the result: the folder is loaded again, and its logits are compared with those of the variant that
    ``forgetmeter run`` scores.

    Args:
        model: ``org/name[@revision]`` on the Hub, ``./folder``, ``./file.gguf``, ``package:MODULE`` or
            ``standard:FAMILY``.
        recipe: The recipe, as a value or as text.
        out: Output folder; must be empty or not exist.
        format: ``dense`` for plain tensors, ``compressed-tensors``, or ``gptq`` for the layout of GPTQModel.
        dtype: Dtype to cast floating-point weights to before compression.
        max_shard_size: Size limit of the tensors per file, such as ``5GB``.
        seed: Seed for random methods.
        check: Whether to check the result; by default, if the source takes at most ``MOST_CHECKED_BYTES``.
        calibration: Calibration text settings, for methods that need activations; the whole model is then in memory, in
            float32.

    Raises:
        UserError: The request is not valid, the checkpoint is damaged, the disk is full, or the written model differs
            from the compressed one. Nothing is left on disk in these cases.
    """
    refuse_type("out", out, str, Path)
    refuse_url(out)
    request = CompressionRequest(
        model=parse_model_reference(model),
        recipe=recipe if isinstance(recipe, Recipe) else parse_recipe(recipe),
        out=Path(os.path.abspath(out)),  # noqa: PTH100 - links in it stay as the user named them
        format=known_format(format),
        dtype=known_dtype(dtype),
        max_shard_bytes=size_in_bytes(max_shard_size),
        seed=checked_seed(seed),
        check=check,
        calibration=calibration or CalibrationSettings(),
    )
    check_output(request.out)
    checkpoint = open_checkpoint(model)
    check_apart(request.out, checkpoint.location.path)
    refuse_quantized(checkpoint)
    refuse(recipe_problems(request.recipe, checkpoint.matrices, model=checkpoint.skeleton))
    refuse([*map("; ".join, kernel_problems(request.recipe)), *format_problems(request, checkpoint.skeleton)])
    if needs_activations(request.recipe):
        # Before any work.
        calibration_calls(checkpoint, request.calibration)
    return _write(request, checkpoint)


def refuse_quantized(checkpoint: Checkpoint) -> None:
    """Refuse a quantized model.

    Raises:
        UserError: It is already quantized, or its configuration cannot be used.
    """
    _ = checkpoint.config
    if checkpoint.quantization is not None:
        raise UserError(quantized_problem(checkpoint.name, checkpoint.quantization))


def _write(request: CompressionRequest, checkpoint: Checkpoint) -> Written:
    source, folder = open_source(checkpoint, request.dtype), checkpoint.folder
    is_checked = source.bytes <= MOST_CHECKED_BYTES if request.check is None else request.check
    if is_checked and request.format == "compressed-tensors" and find_spec("compressed_tensors") is None:
        raise UserError(
            "to check what it writes, compress needs compressed-tensors; install it with: "
            "pip install 'forgetmeter[compressed-tensors]', or give --no-check"
        )
    if source.converted and request.format != "dense":
        raise UserError(
            f"--format {request.format} is not supported for this architecture, whose weights transformers converts "
            f"while loading ({source.converted[0]} ...); choose --format dense"
        )
    small = _SMALL_FILES + sum(size_of(file) for file in companions(folder))
    with all_or_nothing(request.out) as partial, ExitStack() as open_files:
        copy_companions(folder, partial)
        known: Mapping[Matrix, Weight] | None = None
        if source.converted:
            check_room(request.out, source.bytes + small)
            reached, files, known = write_whole(request, source, partial)
        else:
            if needs_activations(request.recipe):
                known = open_files.enter_context(_calibrated(request, source, partial, small))
            reached, files = _write_streamed(request, source, partial, small, known)
        remove_code_references(partial)
        check_tokenizer(request, source, partial)
        rounding = check_reloaded(request, source, partial, known) if is_checked else 0.0
        written = Written(
            folder=request.out,
            model=str(request.model),
            recipe=str(request.recipe),
            format=request.format,
            reached=reached,
            files=tuple(file.name for file in files),
            bytes_before=source.bytes,
            bytes_after=sum(file.stat().st_size for file in files),
            unused=source.unused,
            notes=tuple(notes(request, source)),
            is_checked=is_checked,
            rounding=rounding,
            options=tuple(_options(request)),
        )
        card = model_card(written, source_facts(folder), is_quantized="quantizes" in _effects(request.recipe))
        write_text(partial / "README.md", card)
    return written


@contextmanager
def _calibrated(
    request: CompressionRequest, source: Source, partial: Path, small: int
) -> Iterator[Mapping[Matrix, Weight]]:
    """Yield the compressed weights of a recipe that needs activations.

    If memory has too little room for the model in float32, its results, and what is installed of them, all of these
    are parts of files, of which the system holds in memory what is in use.
    """
    size = float32_bytes(source.checkpoint.skeleton)
    # In 16 bits, weights would be rounded once more on their way to the file.
    if _COPIES * size <= psutil.virtual_memory().available or request.dtype not in (None, torch.float32):
        check_room(request.out, source.bytes + small)
        yield variant_weights(request, source)
        return
    check_room(request.out, source.bytes + small + _COPIES * size)
    folder = partial / ".scratch-calibrated"
    folder.mkdir()
    try:
        with Scratch(folder / "weights") as scratch:
            checkpoint = _in_float32(request, source, folder)
            yield variant_weights(request, source, checkpoint=checkpoint, kept=scratch.mapped)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_float32(request: CompressionRequest, source: Source, folder: Path) -> Checkpoint:
    """Return a checkpoint in float32, which is loaded as parts of its files: a copy, unless it is the source."""
    floating = [each.stored.dtype for each in source.entries.values() if each.stored.dtype.is_floating_point]
    if all(dtype == torch.float32 for dtype in floating):
        return source.checkpoint
    copy = folder / "float32"
    copy.mkdir()
    copy_companions(source.checkpoint.folder, copy)
    plain = replace(request, recipe=parse_recipe(BASELINE), dtype=torch.float32, format="dense")
    _write_streamed(plain, open_source(source.checkpoint, torch.float32), copy, 0, None)
    return Checkpoint(Location(request.model, copy))


def _write_streamed(
    request: CompressionRequest, source: Source, partial: Path, small: int, known: Mapping[Matrix, Weight] | None
) -> tuple[Reached, tuple[Path, ...]]:
    """Compress and store one tensor at a time, or store compressed weights that are known."""
    model = deepcopy(source.checkpoint.skeleton)
    stored = stored_model(model, source, str(request.model))
    dropped = None if known is None else dropped_among(known)
    outputs = plan_outputs(stored, model, request.recipe, dropped=dropped)
    check_room(request.out, small + _needed(request.recipe, stored, outputs))
    storage = storage_for(request, stored.matrices)
    names = storage.names(outputs.values())
    with (
        CheckpointWriter(partial, names, max_shard_bytes=request.max_shard_bytes) as writer,
        Scratch(partial / ".scratch") as scratch,
    ):
        sink = Sink(stored, outputs, storage, writer)
        if known is None:
            reached = compress_stored(stored, request.recipe, sink, scratch, seed=request.seed)
        else:
            reached = sink.finish(known)
        files = writer.finish()
    model.config.architectures = [type(model).__name__]
    if request.dtype is not None:
        model.config.dtype = request.dtype
    if (quantization_config := storage.quantization_config()) is not None:
        model.config.quantization_config = quantization_config
    with refusing_settings(request):
        model.config.save_pretrained(partial)
    return reached, files


def _options(request: CompressionRequest) -> Iterator[str]:
    if request.format != "dense":
        yield f"--format {request.format}"
    if request.dtype is not None:
        yield f"--dtype {str(request.dtype).removeprefix('torch.')}"
    if request.max_shard_bytes != size_in_bytes(DEFAULT_SHARD_SIZE):
        yield f"--max-shard-size {request.max_shard_bytes}"
    if request.seed:
        yield f"--seed {request.seed}"


def _effects(recipe: Recipe) -> set[str]:
    """Return what the steps of a recipe do to weights, without those that drop blocks."""
    declarations = (load_method(step.method).declaration for step in recipe.steps)
    return {each.effect for each in declarations if each.kind != "blocks"}


def _needed(recipe: Recipe, stored: StoredModel, outputs: dict[str, Output]) -> int:
    """Return the bytes needed for the result as plain tensors and for the intermediate results of earlier steps."""
    result = sum(stored.bytes(parameter) for parameter in outputs)
    left = sum(
        stored.bytes(parameter)
        for step in recipe.steps[:-1]
        for parameter in {matrix.parameter for matrix in step.scope.select(stored.matrices)}
    )
    return result + left


def _tokenizer_problem(checkpoint: Checkpoint) -> str | None:
    try:
        _ = checkpoint.tokenizer
    except UserError as error:
        # The model card shows it, too.
        return str(error).replace(checkpoint.name, shown_model(checkpoint.name))
    return None


def _weight_notes(request: CompressionRequest, source: Source) -> Iterator[str]:
    effects = _effects(request.recipe)
    if drops_blocks(request.recipe):
        yield "Weights of dropped blocks count as zeros; they are not in the files."
    if any(each.tied_to is not None and request.recipe.selects(each) for each in source.checkpoint.matrices):
        yield "The head shared the weights of the embedding; now it has its own, which are stored as well."
    if request.format == "dense":
        if "quantizes" in effects:
            packed = (replace(request, format=each) for each in FORMATS if each != "dense")
            can = (
                each.format
                for each in packed
                if not source.converted and not any(format_problems(each, source.checkpoint.skeleton))
            )
            instead = f"; --format {found} stores the integers" if (found := next(can, None)) else ""
            yield f"Low-bit weights are stored dequantized and take as many bytes as before{instead}."
        elif "zeroes" in effects:
            yield "Zeros are stored as floating-point numbers and take as many bytes as before."
    elif request.format == "gptq":
        yield "Layout gptq, as written by GPTQModel. In a 16-bit model, its readers round the scales to 16 bits."
    else:
        yield (
            "Layout pack-quantized: from_pretrained reads it if compressed-tensors is installed. In a 16-bit model, "
            "transformers rounds the scales to 16 bits, unless it dequantizes while loading."
        )
        if len({packing_of(step) for step in quantizing(request.recipe)}) > 1:
            yield (
                "Layers have different bits or group sizes: load it without dequantize=True, with which transformers "
                "reads all of them by the settings of the first group."
            )


def notes(request: CompressionRequest, source: Source) -> Iterator[str]:
    """Yield one sentence for each result that may surprise users."""
    yield from _weight_notes(request, source)
    if not companions(source.checkpoint.folder, TOKENIZER_FILES):
        yield "The source has no tokenizer, so none was copied."
    elif (problem := _tokenizer_problem(source.checkpoint)) is not None:
        yield f"The tokenizer was copied as it is, although it cannot be loaded: {problem}."
    if (packed := source.checkpoint.packed) is not None:
        yield packed.sizes(source.checkpoint.name)
    if needs_activations(request.recipe):
        text = request.calibration
        yield (
            f"Calibrated on {counted(text.sequences, 'sequence')} of up to {text.length} tokens of "
            f"'{text.of(str(request.model))}' (SHA-256 {text_digest(text, str(request.model))[:12]}…)."
        )
    elif source.converted:
        yield (
            "The whole model was in memory, since transformers converts weights of this architecture while loading "
            f"({source.converted[0]} ...)."
        )
    if source.unused:
        named = listed(source.unused, _UNUSED_SHOWN)
        yield f"Left out, since the model does not use them: {counted(len(source.unused), 'tensor')} ({named})."
