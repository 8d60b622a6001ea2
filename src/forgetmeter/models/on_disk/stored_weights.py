"""Checks that a checkpoint's tensors match its configuration: floating-point numbers, or quantized by a known method.

Low-bit weights read as floating-point numbers would give a model that puts out noise.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AutoHfQuantizer

from forgetmeter.basics.plural import counted, listed
from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.models.files.model_files import TensorHeader
from forgetmeter.models.on_disk.quantization import misread_setting
from forgetmeter.models.on_disk.recomputed_tensors import RecomputedTensors, read_tensor, spellings
from forgetmeter.models.roles.output_head import find_head

_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes per weight of the plain dtypes."""
_SPARSE_FORMATS = ("sparse-bitmask", "sparse-24-bitmask", "marlin-24")
_PACKED_SHAPE = "weight_shape"
"""Where compressed-tensors stores the shape of packed weights."""
# Modules that play no part in computing logits from a text: other heads, and towers for other modalities.
_TOWERS = r"(vision|visual|image|img|video|audio|speech|mm|multi_?modal|talker|token2wav|code2wav|mtp)\w*"
_TOWER = re.compile(rf"(^|\.){_TOWERS}\.")
_ASIDE = re.compile(
    r"(^|\.)(pooler|classifier|score|seq_relationship|qa_outputs|(?!lm_)\w*head|\w*predictions?|"
    rf"\w*(projector|aligner|connector|resampler)|{_TOWERS})\."
)
_BLOCK = re.compile(r"(?:.+\.)?layers\.(\d+)\.")
# Name endings of the tensors stored next to quantized weights, across formats.
_BESIDE_QUANTIZED = re.compile(
    r"scale|zero|absmax|quant|pack|qweight|g_idx|bitmask|compress|blocks|codes|codebook|lut|SCB|nested|perm"
)


def refuse_overflow(name: str, values: Tensor, before: Tensor | None = None) -> None:
    """Refuse a tensor that was cast to a dtype whose range it exceeds.

    Args:
        name: Its name.
        values: The tensor after the cast.
        before: The tensor before the cast; ``None`` if it was finite.

    Raises:
        UserError: A finite value became infinite.
    """
    if values.is_floating_point() and bool(values.isinf().any()) and (before is None or not before.isinf().any()):
        dtype = str(values.dtype).removeprefix("torch.")
        raise UserError(f"{name} has weights that are too large for {dtype}; choose bfloat16 or float32")


def refuse_overflown(placed: Iterable[PlacedTensor], model: PreTrainedModel) -> None:
    """Refuse a model with infinite weights that are finite in its checkpoint.

    Raises:
        UserError: It has such a weight.
    """
    infinite = {name: tensor for name, tensor in model.named_parameters() if bool(tensor.isinf().any())}
    stored = [each for each in placed if each.key in infinite]
    for name, tensor in infinite.items():
        parts = [read_tensor(each.header) for each in stored if each.key == name]
        if not any(bool(part.isinf().any()) for part in parts):
            refuse_overflow(name, tensor)


def refuse_other_layouts(placed: Iterable[PlacedTensor], model: PreTrainedModel, name: str) -> None:
    """Refuse packed weights of another shape than their layer's, and scales that do not divide them into their blocks.

    compressed-tensors would unpack the former as they say, and torchao apply one scale to several blocks.

    Raises:
        UserError: There are such weights.
    """
    layers = {path: module for path, module in model.named_modules() if isinstance(module, nn.Linear)}
    for each in placed:
        layer, _, part = each.key.rpartition(".")
        if part == _PACKED_SHAPE and layer in layers:
            stored, size = read_tensor(each.header).tolist(), [layers[layer].out_features, layers[layer].in_features]
            if stored != size:
                raise UserError(
                    f"model '{name}': {each.header.name} says {stored}, but the layer's weight has shape {size}; fetch "
                    "the checkpoint again"
                )
    for key, weight in model.named_parameters():
        block, scale = getattr(weight, "block_size", None), getattr(weight, "scale", None)
        if block and isinstance(scale, Tensor) and scale.numel() * prod(block) != weight.numel():
            raise UserError(
                f"model '{name}': {key} has {counted(scale.numel(), 'scale')} for {weight.numel() // prod(block)} "
                "blocks of weights; fetch the checkpoint again"
            )


def stored_weight_bytes(
    headers: Iterable[TensorHeader], method: Mapping[str, Any] | None, model: PreTrainedModel
) -> dict[str, int]:
    """Return the bytes per weight of each parameter in a checkpoint, by the parameter's name.

    Parameters that transformers merges from several tensors, such as experts, count by the checkpoint's most common
    width. The result is empty if the checkpoint is already quantized.
    """
    if method is not None:
        return {}
    name_of, places = name_in(model), model.state_dict()
    found: dict[str, int] = {}
    totals: Counter[int] = Counter()
    for stored in headers:
        if width := _WIDTHS.get(stored.dtype):
            totals[width] += prod(stored.shape)
            key = name_of(stored.name)
            if key is not None and key in places:
                found[key] = width
    most = next((width for width, _ in totals.most_common(1)), None)
    return {} if most is None else {name: found.get(name, most) for name, _ in model.named_parameters()}


def refuse_misread_weights(headers: Iterable[TensorHeader], method: Mapping[str, Any] | None, name: str) -> None:
    """Refuse a checkpoint whose tensors do not match its configuration.

    Raises:
        UserError: Its quantization method is unknown, or named although the weights are plain, or missing although
            they are quantized.
    """
    tensors = {header.name: header for header in headers}
    few_bits = next((key for key, tensor in tensors.items() if is_few_bits(key, tensor)), None)
    if method is None:
        if few_bits is not None:
            raise _not_plain(few_bits, tensors, name)
        return
    quant_method = _known_method(method, name)
    if problem := misread_setting(method):
        raise UserError(f"model '{name}' is quantized ({quant_method}), but {problem}; use another checkpoint of it")
    if few_bits is None and not any(_BESIDE_QUANTIZED.search(key.rpartition(".")[2]) for key in tensors):
        raise UserError(
            f"model '{name}': config.json says that it is quantized ({quant_method}), but its weights are plain; "
            "if this is intended, remove quantization_config from config.json"
        )


def _not_plain(key: str, tensors: Mapping[str, TensorHeader], name: str) -> UserError:
    scales = next((key for key in tensors if "scale" in key.rpartition(".")[2]), None)
    return UserError(
        f"model '{name}': {key} is stored as {tensors[key].dtype}"
        f"{f', with scales next to it ({scales}),' if scales else ''} but config.json has no "
        "quantization_config; fetch the model again with its own config.json"
    )


def refuse_misplaced_tensors(
    placed: Collection[PlacedTensor], method: Mapping[str, Any] | None, model: PreTrainedModel, name: str
) -> None:
    """Refuse integers in the place of floats, and numbered tensors with gaps, such as experts 0, 1 and 3.

    transformers would read the integers as floating-point numbers, and expert 3 as expert 2.

    Raises:
        UserError: There are such tensors.
    """
    places, tensors = model.state_dict(), {each.header.name: each.header for each in placed}
    numbered: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for each in placed:
        stored, key, pattern = each.header.name, each.key, each.pattern
        if key not in places:
            continue
        if method is None and each.header.dtype not in _WIDTHS and places[key].is_floating_point():
            raise _not_plain(stored, tensors, name)
        merged = (Counter(stored.split(".")) - Counter(key.split("."))).elements()
        numbers = [part for part in merged if part.isdecimal()]
        if pattern is not None and len(numbers) == 1:
            numbered[key, pattern][int(numbers[0])] = stored
    for (key, _), parts in numbered.items():
        if missing := set(range(len(parts))) - parts.keys():
            raise UserError(
                f"model '{name}': the checkpoint holds {parts[max(parts)]}, but lacks number {min(missing)}, so "
                f"transformers would renumber the parts of {key}; fetch the checkpoint again"
            )


def refuse_unread_tensors(
    model: PreTrainedModel,
    unexpected: Iterable[str],
    placed: Collection[PlacedTensor],
    recomputed: RecomputedTensors,
    name: str,
) -> None:
    """Refuse a checkpoint with tensors that the model does not use, such as scales, a bias or another embedding.

    The same holds for more blocks or experts than the configuration counts. Other heads and towers for other modalities
    are harmless and ignored, as is what the model computes from its configuration. But if the model ties its head
    to its embedding, a matrix of that shape is the model's own head under another name.

    Raises:
        UserError: There is such a tensor.
    """
    prefix = f"{model.base_model_prefix}."
    modules = dict(model.named_modules())
    owners = {path for path, module in modules.items() if any(True for _ in module.parameters(recurse=False))}
    heads = _own_heads(model, placed)
    layers = {_unnumbered(path) for path in {*owners, *(path for path in modules if re.search(r"\.\d+(\.|$)", path))}}

    further = _further_blocks(model)

    def matters(key: str) -> bool:
        if key in recomputed or ((block := _BLOCK.match(key)) and int(block[1]) in further):
            return False
        if key in heads:
            return True
        *parents, _ = _unnumbered(key).split(".")
        paths = [".".join(parents[:end]) for end in range(len(parents), 0, -1)]
        return not _ASIDE.search(key) or any(spellings(path, prefix) & layers for path in paths)

    found = sorted(filter(matters, unexpected))
    if found:
        raise UserError(
            f"model '{name}': the checkpoint holds {listed(found, 1)}, which the model that its config.json describes "
            "does not use, so it would load as a different model; use the checkpoint's own config.json, or the "
            "original, unquantized and merged checkpoint, or remove the tensors if they belong to another head"
        )


def _further_blocks(model: PreTrainedModel) -> range:
    """Return the numbers of the blocks after the last that predict further tokens, as a configuration counts them."""
    config = model.config.get_text_config()
    number = getattr(config, "num_nextn_predict_layers", None) or 0
    return range(config.num_hidden_layers, config.num_hidden_layers + number) if number else range(0)


def _own_heads(model: PreTrainedModel, placed: Iterable[PlacedTensor]) -> set[str]:
    """Return the names of matrices that can be the head of a model that uses its embedding as one."""
    head = find_head(model)
    if head is None or head.tied_to is None:
        return set()
    places, shape = model.state_dict().keys(), tuple(head.module.weight.shape)
    return {
        each.key
        for each in placed
        if each.key not in places and tuple(each.header.shape) == shape and not _TOWER.search(each.key)
    }


def refuse_contradictions(
    placed: Iterable[PlacedTensor], model: PreTrainedModel, recomputed: RecomputedTensors, name: str
) -> None:
    """Refuse a checkpoint with rotary frequencies, positions or masks that differ from the model's.

    Raises:
        UserError: There is such a tensor.
    """
    places = model.state_dict().keys()
    for each in placed:
        if each.key not in places and not recomputed.agrees(each.key, each.header):
            raise UserError(
                f"model '{name}': the checkpoint's {each.header.name} differs from the values computed from its "
                "config.json, which would be used instead; use the checkpoint's own config.json, or remove the tensor "
                "if it is outdated"
            )


def refuse_doubled_tensors(placed: Iterable[PlacedTensor], model: PreTrainedModel, name: str) -> None:
    """Refuse a checkpoint with two versions of one tensor, such as with and without the ``model.`` prefix.

    transformers would read only one of them.

    Raises:
        UserError: There is such a tensor.
    """
    places, prefix = model.state_dict().keys(), f"{model.base_model_prefix}."
    seen: dict[str, tuple[str, Path]] = {}
    for each in placed:
        stored, file, is_same = each.header.name, each.header.file, each.pattern is None
        if is_same and each.key not in places:
            continue
        first, where = seen.setdefault(each.key if is_same else stored.removeprefix(prefix), (stored, file))
        if (first, where) != (stored, file):
            twice = f"{first} and {stored}" if first != stored else f"{stored} in {where.name} and {file.name}"
            raise UserError(
                f"model '{name}': the checkpoint holds the same tensor twice ({twice}), and only one would be read; "
                "remove the wrong one, or fetch the checkpoint again"
            )


def tie_copies(placed: Iterable[PlacedTensor], model: PreTrainedModel) -> None:
    """Tie layers whose shared weight the checkpoint stores as identical copies, in a model on the ``meta`` device.

    There, transformers cannot compare the copies, and leaves them untied.
    """
    headers = {each.key: each.header for each in placed}
    for name, source in model.all_tied_weights_keys.items():
        if not {name, source} <= headers.keys():
            continue
        first, second = map(model.get_parameter_or_buffer, (source, name))
        if first is not second and torch.equal(read_tensor(headers[source]), read_tensor(headers[name])):
            module, _, key = name.rpartition(".")
            setattr(model.get_submodule(module), key, first)


def _unnumbered(path: str) -> str:
    """Return a layer's name with its numbers replaced, so that it is the same in all blocks."""
    return re.sub(r"\.\d+(?=\.|$)", ".*", path)


def _known_method(method: Mapping[str, Any], name: str) -> str:
    quant_method = str(method.get("quant_method"))
    try:
        with quiet():
            known = AutoHfQuantizer.supports_quant_method(dict(method))
    except (ValueError, TypeError):  # a TypeError for a list or mapping
        known = False
    if not known:
        said = (
            f"is quantized by '{quant_method}', which is not supported"
            if "quant_method" in method
            else "is quantized, but its config.json does not name the method"
        )
        raise UserError(
            f"model '{name}' {said} "
            f"(transformers reads {', '.join(sorted(AUTO_QUANTIZATION_CONFIG_MAPPING))}); use the checkpoint that it "
            "was made from"
        )
    sparsity = method.get("sparsity_config")
    forms = (method.get("format"), sparsity.get("format") if isinstance(sparsity, Mapping) else None)
    if form := next((each for each in forms if each in _SPARSE_FORMATS), None):
        raise UserError(
            f"model '{name}' is stored by {quant_method} in the format {form}, which current versions of that package "
            "cannot read; use the checkpoint that it was made from"
        )
    return quant_method


def is_few_bits(key: str, tensor: TensorHeader) -> bool:
    """Whether a tensor must be a quantized weight: floats of at most 8 bits, or a layer's weights as integers."""
    if tensor.dtype in _WIDTHS:
        return False
    is_weight = key.endswith((".weight", ".qweight")) or (key.endswith(".bias") and len(tensor.shape) < 2)
    return is_weight or tensor.dtype.startswith(("F8", "F4", "F6"))


@dataclass(frozen=True)
class PlacedTensor:
    """A tensor of a checkpoint, and its place in the model.

    Attributes:
        header: The tensor.
        key: Its name in the model, following ``from_pretrained``; the model may have no such tensor.
        pattern: The pattern by which transformers merges, splits or transposes it, if it does.
    """

    header: TensorHeader
    key: str
    pattern: str | None


def placed_tensors(headers: Iterable[TensorHeader], model: PreTrainedModel) -> tuple[PlacedTensor, ...]:
    """Return a checkpoint's tensors with their places in a model."""
    place_of = _place_in(model)
    return tuple(PlacedTensor(header, *place_of(header.name)) for header in headers)


def name_in(model: PreTrainedModel) -> Callable[[str], str | None]:
    """Return a function from a checkpoint's tensor name to the model's, following ``from_pretrained``.

    The name may be unknown to the model if it does not use the tensor. It is ``None`` if transformers merges, splits or
    transposes the tensor.
    """
    place_of = _place_in(model)

    def name(stored: str) -> str | None:
        key, pattern = place_of(stored)
        return key if pattern is None else None

    return name


def _place_in(model: PreTrainedModel) -> Callable[[str], tuple[str, str | None]]:
    """Return a function from a checkpoint's tensor name to the model's, and the pattern of what converts it, if any."""
    transforms = get_model_conversion_mapping(model)
    renamings = [each for each in transforms if isinstance(each, WeightRenaming)]
    converters = [each for each in transforms if isinstance(each, WeightConverter)]
    places = model.state_dict()

    def place(stored: str) -> tuple[str, str | None]:
        key, pattern = rename_source_key(stored, renamings, converters, model.base_model_prefix, places)
        return str(key), pattern

    return place
