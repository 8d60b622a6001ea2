"""FP8 checkpoints: floats of 8 bits, times a scale for each block of a weight, each output unit, or the whole weight.

transformers computes the block size as the number of rows divided by the number of rows of scales, which is wrong if
the blocks do not divide the weight. Scales of activations, which only kernels for 8-bit floats use, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from forgetmeter.models.files.model_files import TensorHeader
from forgetmeter.models.unpacking.layout import SCALES, LayoutError

_FLOATS = ("F8_E4M3", "F8_E5M2")
_EXPONENTS = ("U8", "F8_E8M0")
_EXPONENT_BIAS = 127
_BLOCKS = (128, 128)
"""The size of blocks if a configuration does not state it."""
_SCALES = {"_scale_inv": "", ".weight_scale": ".weight", ".scale": ".weight", ".qscale_weight": ".weight"}
"""Name endings of scales, and what replaces them in the weight's name."""
_OF_ACTIVATIONS = (".activation_scale", ".input_scale", ".qscale_act")


class Fp8:
    """The layout of one checkpoint.

    Args:
        method: Its ``quantization_config``.
    """

    def __init__(self, method: Mapping[str, Any]) -> None:
        self._blocks: Sequence[int] | None = method.get("weight_block_size", _BLOCKS)
        self._is_stated = bool(method.get("weight_block_size"))

    def part(self, header: TensorHeader) -> tuple[str, str] | None:
        """Return the weight's name, and ``weight``, ``scale`` or ``activations``."""
        name = header.name
        for ending, instead in _SCALES.items():
            if name.endswith(ending):
                return name.removesuffix(ending) + instead, "scale"
        for ending in _OF_ACTIVATIONS:
            if name.endswith(ending):
                return f"{name.removesuffix(ending)}.weight", "activations"
        return name, "weight"

    def is_packed(self, parts: Mapping[str, TensorHeader]) -> bool:
        """Whether the weight is stored as 8-bit floats."""
        return "weight" in parts and parts["weight"].dtype in _FLOATS

    def shape(self, parts: Mapping[str, TensorHeader]) -> tuple[int, ...]:
        """Return the weight's shape; for several experts, with one more dimension in front.

        Raises:
            LayoutError: Its scales are missing, or their shape does not match the weight's.
        """
        weight, scale = parts["weight"], parts.get("scale")
        if scale is None:
            raise LayoutError(f"is stored as {weight.dtype}, but its scales are missing")
        if scale.dtype not in (*SCALES, *_EXPONENTS):
            raise LayoutError(f"has scales of type {scale.dtype}, which is not supported")
        self._grid(weight.shape, scale.shape)
        return weight.shape

    def is_transposed(self, parts: Mapping[str, TensorHeader]) -> bool:
        """Return false: transformers keeps the layer's own order.

        Raises:
            LayoutError: There is a scale for each unit, and nothing says whether of inputs or outputs.
        """
        if max(parts["scale"].shape, default=1) > 1 and len(parts["scale"].shape) == 1:
            raise LayoutError(
                "stores input units first, without stating whether its scales are per input or per output unit"
            )
        return False

    def weight(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the weight, in its stored order."""
        weight, scale = parts["weight"].to(torch.float32), parts["scale"]
        is_byte = scale.dtype == torch.uint8
        scale = (scale.to(torch.float32) - _EXPONENT_BIAS).exp2() if is_byte else scale.to(torch.float32)
        scale = scale.reshape(self._grid(weight.shape, scale.shape))
        if not self._is_blocked(weight.shape, parts["scale"].shape):
            return weight.mul_(scale)
        height, width = self._blocks or ()
        # Block by block of rows, so that only the result is as large as the weight in float32.
        for number, rows in enumerate(weight.split(height, -2)):
            rows.mul_(scale[..., number, None, :].repeat_interleave(width, -1)[..., : weight.shape[-1]])
        return weight

    def _is_blocked(self, shape: Sequence[int], scale: Sequence[int]) -> bool:
        return bool(self._blocks) and len(shape) > 1 and tuple(scale) == self._block_grid(shape)

    def _block_grid(self, shape: Sequence[int]) -> tuple[int, ...]:
        sizes = zip(shape[-2:], self._blocks or (1, 1), strict=True)
        return (*shape[:-2], *(-(-size // block) for size, block in sizes))

    def _grid(self, shape: Sequence[int], scale: Sequence[int]) -> tuple[int, ...]:
        """Return the shape in which scales are applied to the weight, block by block or by broadcasting.

        Raises:
            LayoutError: The scales do not match the weight.
        """
        if self._is_blocked(shape, scale):
            return tuple(scale)
        if not [size for size in scale if size != 1]:
            return (1,) * len(shape)
        experts, outputs = shape[:-2], shape[-2:-1]
        if not self._is_stated and tuple(scale) in ((*experts, *outputs), (*experts, *outputs, 1)):
            return (*experts, *outputs, 1)
        if experts and tuple(scale) in (experts, (*experts, 1), (*experts, 1, 1)):
            return (*experts, 1, 1)
        each = f"block of {list(self._blocks)}" if self._blocks and self._is_stated else "output unit"
        raise LayoutError(
            f"is {list(shape)} with scales of shape {list(scale)}, which are not one for each {each}, nor one for all"
        )
