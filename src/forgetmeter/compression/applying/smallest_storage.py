"""The fewest bytes that compressed weights could be stored in."""

from __future__ import annotations

from torch import Tensor

from forgetmeter.compression.forms.counting import count_nonzero
from forgetmeter.compression.forms.dropped_weight import is_dropped
from forgetmeter.compression.forms.weight import PartWeight, Weight
from forgetmeter.compression.methods.svd import LowRankWeight

SCALE_BYTES = 4
_LOOKED_AT = 64


def smallest_bytes(weight: Weight, plain_bytes: int) -> int:
    """Return the bytes of a weight in the smallest of the ways in which it can be stored without loss.

    These are: plainly; at its bits, with its scales; as one bit a weight and the weights that are not zero, at
    their bits; without the output and input units that are all zero, with one bit a unit; as two factors, where
    its rank is low. What was dropped takes nothing.

    Args:
        weight: The weight as the recipe left it; of experts, each is a matrix.
        plain_bytes: What the model's own weights take in its place, as they are stored.
    """
    if is_dropped(weight):
        return 0
    values = weight.values()
    scales = weight.scales() * SCALE_BYTES
    # In whatever dtype it was computed, what was not quantized takes no more bits than in the checkpoint.
    bits = min(weight.bits(), 8 * plain_bytes // max(1, values.numel()))
    ways = [
        plain_bytes,
        _bytes(values.numel(), bits) + scales,
        _bytes(values.numel(), 1) + _bytes(count_nonzero(values), bits) + scales,
        _without_zero_units(values, bits) + scales,
    ]
    bare = weight.whole if isinstance(weight, PartWeight) else weight
    if isinstance(bare, LowRankWeight) and bare is weight:
        ways.append(_bytes(bare.factor_weights(), bits))
    return min(ways)


def _without_zero_units(values: Tensor, bits: int) -> int:
    outputs, inputs = _not_all_zero(values), _not_all_zero(values.transpose(-2, -1))
    left = int((outputs.sum(-1) * inputs.sum(-1)).sum())
    return _bytes(left, bits) + _bytes(outputs.numel(), 1) + _bytes(inputs.numel(), 1)


def _not_all_zero(values: Tensor) -> Tensor:
    """Say of each row whether it has anything but zeros; bool, of the shape without the last axis."""
    # The first few say it of nearly all rows.
    found: Tensor = (values[..., :_LOOKED_AT] != 0).any(-1)
    doubtful = ~found
    if doubtful.any():
        found[doubtful] = (values[doubtful] != 0).any(-1)
    return found


def _bytes(count: int, bits: int) -> int:
    return -(-count * bits // 8)
