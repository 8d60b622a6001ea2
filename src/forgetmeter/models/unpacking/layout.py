"""The interface of layouts of quantized weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from torch import Tensor

from forgetmeter.models.files.model_files import TensorHeader

SCALES = ("F16", "BF16", "F32")
"""Dtypes of scales, in safetensors' notation."""


class LayoutError(Exception):
    """A layer's stored tensors do not match the layout; the message follows the layer's name."""


class PackedLayout(Protocol):
    """How the tensors of one quantization method make up the weights of layers."""

    def part(self, header: TensorHeader) -> tuple[str, str] | None:
        """Return the name of a stored tensor's weight and the tensor's part in it; ``None`` if it has none."""
        ...

    def is_packed(self, parts: Mapping[str, TensorHeader]) -> bool:
        """Whether the parts of a weight are packed; they are plain tensors otherwise."""
        ...

    def shape(self, parts: Mapping[str, TensorHeader]) -> tuple[int, ...]:
        """Return the shape of a packed weight.

        Raises:
            LayoutError: A part is missing, or its dtype or shape is not what the others imply.
        """
        ...

    def is_transposed(self, parts: Mapping[str, TensorHeader]) -> bool:
        """Whether the packed weight of a layer that computes with the inputs first has the outputs first.

        Raises:
            LayoutError: The parts do not say.
        """
        ...

    def weight(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return a packed weight in float32.

        Raises:
            LayoutError: The values of a part are invalid.
        """
        ...


class PartsByName:
    """A layout whose parts have names that no plain tensor has.

    Args:
        parts: These names, which end a tensor's name after its layer's.
    """

    def __init__(self, parts: Collection[str]) -> None:
        self._parts = parts

    def part(self, header: TensorHeader) -> tuple[str, str] | None:
        """Return the weight's name, and the last part of the tensor's."""
        module, _, last = header.name.rpartition(".")
        return (f"{module}.weight", last) if last in self._parts else None

    def is_packed(self, parts: Mapping[str, TensorHeader]) -> bool:
        """Whether there are parts."""
        return bool(parts)

    def is_transposed(self, parts: Mapping[str, TensorHeader]) -> bool:  # noqa: ARG002
        """Return true: these layouts are packed by output units, whatever the layer."""
        return True


def check_parts(parts: Mapping[str, TensorHeader], dtypes: Mapping[str, tuple[str, ...]]) -> None:
    """Check that parts exist, and that each is a matrix of one of its dtypes.

    Raises:
        LayoutError: A part is missing, or is not such a matrix.
    """
    for part, allowed in dtypes.items():
        if part not in parts:
            raise LayoutError(f"lacks {part}")
        if parts[part].dtype not in allowed or len(parts[part].shape) != 2:
            raise LayoutError(
                f"has {part} of type {parts[part].dtype} and shape {list(parts[part].shape)}, not a matrix of "
                f"{' or '.join(allowed)}"
            )


def check_groups(inputs: int, groups: int, size: int | None, *, is_even: bool) -> None:
    """Check a number of groups of input units against the group size in the configuration, if it has one.

    Args:
        size: -1 means one group of all input units.
        is_even: Whether all groups must have the same number of input units.

    Raises:
        LayoutError: They do not match.
    """
    stated = groups if size is None else 1 if size < 1 else -(-inputs // size)
    is_ragged = is_even and (inputs % groups or (groups > 1 and size is not None and inputs != groups * size))
    if stated != groups or is_ragged:
        among = f"{groups} groups for {inputs} input units"
        reason = "which cannot be equally large" if size is None else f"which does not match a group size of {size}"
        raise LayoutError(f"has {among}, {reason}")
