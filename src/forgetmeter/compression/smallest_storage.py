"""The fewest bytes that compressed weights could be stored in."""

from __future__ import annotations

from torch import Tensor

from forgetmeter.compression.dropped_weight import is_dropped
from forgetmeter.compression.svd import LowRankWeight
from forgetmeter.compression.weight import PartWeight, Weight

SCALE_BYTES = 4


def smallest_bytes(weight: Weight, plain_bytes: int) -> int:
    """Return the bytes of a weight in the smallest of the ways in which it can be stored without loss.

    These are: plainly; at its bits, with its scales; as one bit a weight and the weights that are not zero, at
    their bits; without the output and input units that are all zero, with one bit a unit; as two factors, where
    its rank is low. What was dropped takes nothing.

    Args:
        weight: The weight as the recipe left it; of experts, each is a matrix.
        plain_bytes: What the model's own weights take in its place.
    """
    if is_dropped(weight):
        return 0
    there = weight.values() != 0
    scales = weight.scales() * SCALE_BYTES
    bits = weight.bits()
    ways = [
        plain_bytes,
        _bytes(there.numel(), bits) + scales,
        _bytes(there.numel(), 1) + _bytes(int(there.sum()), bits) + scales,
        _without_zero_units(there, bits) + scales,
    ]
    bare = weight.whole if isinstance(weight, PartWeight) else weight
    if isinstance(bare, LowRankWeight) and bare is weight:
        ways.append(_bytes(bare.factor_weights(), bits))
    return min(ways)


def _without_zero_units(there: Tensor, bits: int) -> int:
    outputs, inputs = there.any(-1), there.any(-2)
    left = int((outputs.sum(-1) * inputs.sum(-1)).sum())
    return _bytes(left, bits) + _bytes(outputs.numel(), 1) + _bytes(inputs.numel(), 1)


def _bytes(count: int, bits: int) -> int:
    return -(-count * bits // 8)
