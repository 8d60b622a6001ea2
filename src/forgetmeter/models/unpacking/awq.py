"""AWQ's layout ``gemm``, as AutoAWQ and AutoRound write it.

The weight is ``s * (q - z)`` as in GPTQ's layout, but zero points are stored as they are, and the weights' integers are
packed along the output units, too. The eight integers of a word belong to output units in the order 0 2 4 6 1 3 5 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from forgetmeter.models.files.model_files import TensorHeader
from forgetmeter.models.unpacking.integers import unpacked
from forgetmeter.models.unpacking.layout import SCALES, LayoutError, PartsByName, check_groups, check_parts

_BITS = 4
_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_PLACES = torch.tensor(_ORDER).argsort()
_DTYPES = {"qweight": ("I32",), "qzeros": ("I32",), "scales": SCALES}


class Awq(PartsByName):
    """The layout of one checkpoint.

    Args:
        method: Its ``quantization_config``.
    """

    def __init__(self, method: Mapping[str, Any]) -> None:
        super().__init__(_DTYPES)
        self._group_size = method.get("group_size", method.get("q_group_size"))

    def shape(self, parts: Mapping[str, TensorHeader]) -> tuple[int, int]:
        """Return ``(output units, input units)``.

        Raises:
            LayoutError: A part is missing, or its dtype or shape is not what the others and the configuration imply.
        """
        check_parts(parts, _DTYPES)
        (inputs, words), zeros, scales = (parts[part].shape for part in _DTYPES)
        groups, outputs = scales
        if outputs != words * len(_ORDER) or zeros != (groups, words):
            raise LayoutError(
                f"has scales of shape {list(scales)}, qweight of shape {[inputs, words]} and qzeros of shape "
                f"{list(zeros)}, which do not match {_BITS} bits each"
            )
        check_groups(inputs, groups, self._group_size, is_even=True)
        return outputs, inputs

    def weight(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the weight, ``(output units, input units)``."""
        scales = parts["scales"].to(torch.float32).T
        integers, zeros = (_integers(parts[part]).to(torch.float32) for part in ("qweight", "qzeros"))
        groups = zeros.shape[1]
        return integers.unflatten(1, (groups, -1)).sub_(zeros[:, :, None]).mul_(scales[:, :, None]).flatten(1)


def _integers(words: Tensor) -> Tensor:
    """Return integers packed along the second dimension, which becomes the first; in the order of the output units."""
    return unpacked(words.T, _BITS).unflatten(0, (-1, len(_ORDER)))[:, _PLACES].flatten(0, 1)
