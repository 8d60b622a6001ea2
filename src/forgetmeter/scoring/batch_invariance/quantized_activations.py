"""What texts may share if layers quantize activations by their range (docs/decisions/005-dynamic-int8-ranges.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from forgetmeter.models.loaded import Loaded
from forgetmeter.models.on_disk.quantization import quantization_in_memory, quantizes_activations
from forgetmeter.scoring.batch_invariance.limits import UNKNOWN_LENGTH, Sharing
from forgetmeter.scoring.batch_invariance.trial import FAILURES, Text, Trial, drawing

_LENGTH = 9
"""Number of tokens of each text; not the number of texts of a batch."""


def sharing_of_rounded(loaded: Loaded, trial: Trial, *, longest: int) -> Sharing:
    """Return what texts may share where layers round activations, so that each is rounded as alone.

    That is a batch with texts of equal length: in batches of other shapes, sums differ in the last bits, which moves
    activations to other integers. For layers with one range for all of their input, its first dimension must be that of
    the texts; ``rows_are_texts`` is then set on them. Otherwise, each text is read alone. Without any such layers,
    nothing is limited.

    Args:
        longest: Maximum number of tokens of a row.
    """
    layers = dict(_layers(loaded.model))
    if not layers:
        return Sharing(0, 0) if _rounds_tokens(loaded.model) else Sharing(UNKNOWN_LENGTH)
    can_split = all(hasattr(layer, "rows_are_texts") for layer in layers.values())
    with torch.inference_mode(), activations_not_quantized(loaded.model):
        is_split = can_split and _rows_are_texts(loaded, trial, layers, length=min(_LENGTH, longest))
    if can_split:
        for layer in layers.values():
            layer.rows_are_texts = is_split
    return Sharing(0, 0) if is_split else Sharing(0, 0, 0)


def _rounds_tokens(model: PreTrainedModel) -> bool:
    """Whether the layers of a library round activations, each token's by its own range."""
    method = quantization_in_memory(model)
    # torchao's weights say so themselves.
    return (method is not None and quantizes_activations(method)) or any(
        getattr(weight, "act_quant_kwargs", None) is not None for weight in model.parameters()
    )


@contextmanager
def activations_not_quantized(model: PreTrainedModel) -> Iterator[None]:
    """Compute without rounding activations, so that texts interfere only where they do so in any case."""
    hooks = [layer.register_forward_hook(_EXACT[layer._get_name()]) for _, layer in _layers(model)]
    # compressed-tensors' layers then use their weights alone.
    rounding = [each for each in model.modules() if getattr(each, "quantization_scheme", None) is not None]
    before = [getattr(layer, "quantization_enabled", True) for layer in rounding]
    try:
        for layer in rounding:
            layer.quantization_enabled = False
        yield
    finally:
        for layer, was in zip(rounding, before, strict=True):
            layer.quantization_enabled = was
        for hook in hooks:
            hook.remove()


def _layers(model: PreTrainedModel) -> Iterator[tuple[str, nn.Module]]:
    return ((name, module) for name, module in model.named_modules() if module._get_name() in _EXACT)


def _ours(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> Tensor:
    weight = layer.weight.float() * layer.factors[:, None]
    return nn.functional.linear(inputs[0].float(), weight, layer.bias).to(inputs[0].dtype)


def _torchs(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> Tensor:
    return nn.functional.linear(inputs[0].float(), layer.weight().dequantize(), layer.bias()).to(inputs[0].dtype)


_EXACT = {"DynamicInt8Linear": _ours, "DynamicQuantizedLinear": _torchs}
"""Layers whose input has one range, by name, and what they would compute in floating point."""


def _rows_are_texts(loaded: Loaded, trial: Trial, layers: dict[str, nn.Module], *, length: int) -> bool:
    """Whether each layer reads ``(texts, ..., units)``: two texts at once, the first of which decides its own row."""
    draw = drawing(loaded.model)
    is_pair = loaded.family == "encoder-decoder"
    text, *others = (Text(draw(length), draw(length) if is_pair else ()) for _ in range(3))
    try:
        first, second = (_inputs(trial, layers, [text, other]) for other in others)
        pairs = [pair for name in layers for pair in zip(first[name], second[name], strict=True)]
    except FAILURES:
        return False
    return all(first[name] for name in layers) and all(
        one.dim() > 2 and len(one) == 2 and one.shape == other.shape and torch.allclose(one[0], other[0], atol=1e-4)
        for one, other in pairs
    )


def _inputs(trial: Trial, layers: dict[str, nn.Module], texts: list[Text]) -> dict[str, list[Tensor]]:
    """Return what each layer reads, call by call."""
    found: dict[str, list[Tensor]] = defaultdict(list)
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: found[name].append(inputs[0].detach().float()))
        for name, layer in layers.items()
    ]
    try:
        trial.logits(texts)
    finally:
        for hook in hooks:
            hook.remove()
    return found
