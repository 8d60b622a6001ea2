"""Compresses a whole model in memory, and checks written checkpoints by comparing logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.basics.quiet import quiet
from forgetmeter.checkpoints.request import CompressionRequest, refusing_settings
from forgetmeter.checkpoints.source import Source
from forgetmeter.compression.applying.compressor import Compressed, Compressor
from forgetmeter.compression.applying.recipe_problems import needs_activations, needs_float32
from forgetmeter.compression.applying.unit import joined
from forgetmeter.compression.calibrated.activations import Keep, in_memory
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.surgery.installation import install
from forgetmeter.errors import UserError, one_line
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.family import Family
from forgetmeter.models.files.model_files import weight_files
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.location import Location
from forgetmeter.models.on_disk.stored_weights import name_in, stored_weight_bytes
from forgetmeter.models.safe_loading.pretrained import PROBE_TEXTS
from forgetmeter.records.variant import Reached
from forgetmeter.scoring.calibration import calibration_calls
from forgetmeter.specs.role import Matrix

MOST_CHECKED_BYTES = 1_000_000_000
"""Size limit of the source's files for checking results by default; the check needs about three times that memory."""

_LENGTHS = (11, 6)
_CLOSE = 1e-3
"""Tolerance of logits, as a share of their standard deviation over the vocabulary."""
_HALVES = {"F16": torch.float16, "BF16": torch.bfloat16}


def write_whole(
    request: CompressionRequest, source: Source, partial: Path
) -> tuple[Reached, tuple[Path, ...], Mapping[Matrix, Weight] | None]:
    """Load a model, compress it, and save it with transformers in its original layout.

    Parameters whose weights are all cast to 16 bits are stored in 16 bits, as in ``DenseStorage``.

    Returns:
        The sparsity and size reached, the weight files, and the ``variant_weights`` if they were computed.

    Raises:
        UserError: A matrix holds values that a method cannot work on.
        OSError: The disk is full or fails.
    """
    loaded = _loaded(request, source, computing_dtype(request, source))
    is_wide = needs_float32(request.recipe)
    compressed = _compressed(request, _loaded(request, source, torch.float32) if is_wide else loaded)
    model = loaded.model
    dtype = model.config.dtype
    # Found first, because installing may rename blocks.
    narrow = [
        (model.get_submodule(unit.matrices[0].module), unit.parameter.rpartition(".")[2], unit.weight.values().dtype)
        for unit in joined(compressed.weights.items())
        if unit.weight.keeps_dtype and unit.weight.shape == model.get_parameter(unit.parameter).shape
    ]
    install(model, compressed.weights)
    for module, name, stored in narrow:
        parameter = module.get_parameter(name)
        parameter.data = parameter.data.to(stored)
    with quiet():
        with refusing_settings(request):
            model.config.save_pretrained(partial)
        model.save_pretrained(partial, max_shard_size=request.max_shard_bytes)
        # transformers records the dtype of the first parameter, in which all of them would be read.
        model.config.dtype = dtype
        model.config.save_pretrained(partial)
    return compressed.reached, weight_files(partial), compressed.weights if is_wide else None


def _loaded(
    request: CompressionRequest, source: Source, dtype: torch.dtype, checkpoint: Checkpoint | None = None
) -> Loaded:
    """Load a whole model in a dtype, with its tokenizer if the recipe needs texts."""
    model = (checkpoint or source.checkpoint).model(dtype=request.dtype or dtype).to(dtype)
    tokenizer: Any = source.checkpoint.tokenizer if needs_activations(request.recipe) else None
    widths = stored_weight_bytes(source.checkpoint.headers, source.checkpoint.quantization, model)
    if request.dtype is not None:
        widths = dict.fromkeys(widths, request.dtype.itemsize)
    return Loaded(model.eval(), tokenizer, source.checkpoint.family, str(request.model), widths)


def _compressed(request: CompressionRequest, loaded: Loaded, kept: Keep = in_memory) -> Compressed:
    """Compress a model's weights without installing them.

    Raises:
        UserError: A matrix holds values that a method cannot work on.
    """
    calibration = calibration_calls(loaded, request.calibration) if needs_activations(request.recipe) else ()
    compressor = Compressor(loaded, seed=request.seed, calibration=calibration, kept=kept)
    return compressor.compressed(request.recipe)


def variant_weights(
    request: CompressionRequest, source: Source, *, checkpoint: Checkpoint | None = None, kept: Keep = in_memory
) -> Mapping[Matrix, Weight]:
    """Return the compressed weights of the variant that ``forgetmeter run`` scores, in float32.

    Args:
        request: The request.
        source: The source checkpoint.
        checkpoint: Another checkpoint with the same weights, which is loaded instead.
        kept: Puts a compressed weight where there is room for it.

    Raises:
        UserError: A matrix holds values that a method cannot work on.
    """
    return _compressed(request, _loaded(request, source, torch.float32, checkpoint), kept).weights


def computing_dtype(request: CompressionRequest, source: Source) -> torch.dtype:
    """Return the dtype of compression: the requested one, or that of the checkpoint's first weights."""
    stored = (entry.stored.dtype for entry in source.entries.values() if entry.stored.dtype.is_floating_point)
    return request.dtype or next(stored)


@quiet()
def check_reloaded(
    request: CompressionRequest, source: Source, folder: Path, known: Mapping[Matrix, Weight] | None = None
) -> float:
    """Compare the model in a written folder with the variant that ``forgetmeter run`` scores, both in float32.

    They may differ only by the rounding of weights that the folder stores in 16 bits.

    Args:
        known: The ``variant_weights``, if they are already known.

    Returns:
        Deviation of the logits by that rounding, as a share of their standard deviation; 0 if nothing was rounded.

    Raises:
        UserError: The folder cannot be loaded, or gives different logits.
    """
    try:
        written, family = Checkpoint(Location(request.model, folder)), source.checkpoint.family
        reloaded = written.model(dtype=torch.float32)
        found = _logits(reloaded, family)
        halves = _stored_in_16_bits(written, reloaded, computing_dtype(request, source))
        del reloaded
    except Exception as error:  # modelling code may raise anything for a configuration that no longer fits
        raise UserError(
            f"'{request.recipe}' of {request.model} cannot be saved in a form that transformers can load "
            f"({_reason(error)}); {_INSTEAD}"
        ) from error
    if any(logits.isnan().any() for logits in found):
        raise UserError(f"'{request.recipe}' of {request.model} gives NaN or infinite logits; {_INSTEAD}")
    loaded = _loaded(request, source, torch.float32)
    variant = loaded.model
    install(variant, _compressed(request, loaded).weights if known is None else known)
    rounding = _distance(_logits(variant, family), found)
    if rounding <= _CLOSE:
        return 0.0
    for name, parameter in variant.named_parameters():
        if name in halves:
            parameter.data = parameter.data.to(halves[name]).float()
    off = _distance(_logits(variant, family), found)
    if not off <= _CLOSE:
        raise UserError(
            f"'{request.recipe}' of {request.model} cannot be saved in a form that loads as the same model: "
            f"its logits would be off by {off:.2g} standard deviations; {_INSTEAD}"
        )
    return rounding


def _reason(error: Exception) -> str:
    """Return why the written folder cannot be loaded, without its name and what to do about a user's own folder."""
    if not isinstance(error, UserError):
        return one_line(error)
    return str(error).partition(": ")[2].partition("; ")[0] or str(error)


def check_tokenizer(request: CompressionRequest, source: Source, folder: Path) -> None:
    """Check that a folder's tokenizer gives the same tokens as the source's, if the latter can be loaded.

    Args:
        request: The request.
        source: The source checkpoint.
        folder: The written folder.

    Raises:
        UserError: It cannot be loaded, or gives other tokens.
    """
    try:
        before = source.checkpoint.tokenizer
    except UserError:
        return
    written = Checkpoint(Location(request.model, folder))
    if any(before(text).input_ids != written.tokenizer(text).input_ids for text in PROBE_TEXTS):
        raise UserError(
            f"the tokenizer of {request.model} cannot be copied: transformers would load a different one; "
            "nothing was written; use a checkpoint whose tokenizer transformers saves unchanged"
        )


def _stored_in_16_bits(written: Checkpoint, model: PreTrainedModel, usual: torch.dtype) -> dict[str, torch.dtype]:
    """Return the dtype of each parameter that a checkpoint stores in 16 bits, by the parameter's name."""
    name_of, places = name_in(model), dict(model.named_parameters())
    found: dict[str | None, torch.dtype] = {}
    for header in written.headers:
        if header.dtype in _HALVES:
            found[name_of(header.name)] = _HALVES[header.dtype]
    if None in found and usual != torch.float32:
        # Parameters that transformers merges from several tensors have the dtype of all of them.
        found |= {name: usual for name in places if name not in found}
    return {name: dtype for name, dtype in found.items() if name is not None and name in places}


_INSTEAD = "nothing was written; choose another recipe, or another --format"


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _logits(model: PreTrainedModel, family: Family) -> list[Tensor]:
    """Return the logits of a few texts of random tokens, float32, shape ``(tokens, vocabulary)`` each."""
    model = model.eval()
    vocabulary = int(model.config.get_text_config().vocab_size)
    generator = torch.Generator().manual_seed(0)
    found = []
    for length in _LENGTHS:
        tokens = torch.randint(vocabulary, (1, length), generator=generator)
        given: dict[str, Any] = {"decoder_input_ids": tokens.flip(1)} if family == "encoder-decoder" else {}
        # As in scoring; caches of some models cannot be made if blocks were dropped.
        given |= {} if family == "encoder" else {"use_cache": False}
        found.append(model(input_ids=tokens, **given).logits[0].float())
    return found


def _distance(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Return the largest difference of logits, as a share of their standard deviation; NaN and infinity count as 0."""
    return max(starmap(_distance_of_one, zip(expected, found, strict=True)))


def _distance_of_one(one: Tensor, other: Tensor) -> float:
    one, other = (logits.nan_to_num(0.0, 0.0, 0.0) for logits in (one, other))
    spread = one.std(1).clamp_min(1e-6)
    return float(((one - other).square().mean(1).sqrt() / spread).max())
