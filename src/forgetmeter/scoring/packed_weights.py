"""Weights in oneDNN's layout while a model reads many tokens, on processors where that is faster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

_FEWEST_TOKENS = {torch.float32: 1 << 10, torch.bfloat16: 1 << 12}
"""Packing takes as long as reading some 150 tokens. It then saves about 15% of the time in float32, 7% in bfloat16."""
_FEWEST_WEIGHTS = 1 << 23
_MOST_BYTES = 1 << 31
"""The packed weights are copies."""


@contextmanager
def packed_weights(model: nn.Module, *, tokens: int) -> Iterator[None]:
    """Multiply by packed copies of the weights of linear layers, if that makes reading this many tokens faster.

    Only on processors with AVX-512 (measured in docs/performance.md). The products differ only by rounding.

    Args:
        model: The model; its weights must not change in the meantime.
        tokens: Number of tokens to read.
    """
    layers = _layers(model, tokens) if torch.backends.cpu.get_cpu_capability() == "AVX512" else []
    is_small = sum(layer.weight.numel() for layer in layers) < _FEWEST_WEIGHTS
    if is_small or sum(layer.weight.nbytes for layer in layers) > _MOST_BYTES:
        layers = []
    with multiplying_packed(layers):
        yield


@contextmanager
def multiplying_packed(layers: Sequence[nn.Linear]) -> Iterator[None]:
    """Have layers multiply by packed copies of their weights."""
    try:
        for layer in layers:
            packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
            layer.forward = partial(_multiply, packed, layer.bias)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def _multiply(packed: Tensor, bias: Tensor | None, inputs: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], "")
    return product


def _layers(model: nn.Module, tokens: int) -> list[nn.Linear]:
    dtypes = [dtype for dtype, fewest in _FEWEST_TOKENS.items() if tokens >= fewest]
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        dtypes = [dtype for dtype in dtypes if dtype is not torch.bfloat16]
    return [
        layer
        for layer in model.modules()
        # Subclasses, and layers or tensors that others have altered, may compute something else.
        if type(layer) is nn.Linear
        and "forward" not in vars(layer)
        and type(layer.weight.data) is Tensor
        and layer.weight.layout == torch.strided
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype in dtypes
        and (layer.bias is None or layer.bias.dtype == layer.weight.dtype)
        and layer.weight.numel()
    ]
