"""Which weights are left when the smallest of a pool are zeroed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetmeter.compression.forms.deferred_weight import loaded_weight
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.compression.ranking.magnitude_bits import LAYOUTS, patterns, pieces, pieces_with
from forgetmeter.compression.ranking.magnitude_ranking import Threshold


@dataclass(frozen=True)
class MagnitudesBeyond:
    """The weights that stay are those of larger magnitude than a limit: a mask that need not be written down.

    Attributes:
        pattern: The limit, as the integer that its bits are; -1 where all weights stay.
        dtype: The dtype in which magnitudes are compared.
    """

    pattern: int
    dtype: torch.dtype

    def mask(self, tensor: Tensor) -> Tensor:
        """Return a contiguous bool tensor of a tensor's shape: true where the weight stays."""
        keep = torch.empty(tensor.shape, dtype=torch.bool, device=tensor.device)
        for piece, target in pieces_with(tensor, keep):
            torch.gt(patterns(piece, self.dtype), self.pattern, out=target)
        return keep

    def of(self, weight: Weight) -> Weight:
        """Return a weight with zeros in place of the others, in the same form."""
        loaded = loaded_weight(weight)
        if not isinstance(loaded, DenseWeight) or loaded.tensor.dtype != self.dtype:
            return loaded.masked(self.mask(loaded.values()))
        tensor = loaded.tensor.detach()
        if self.pattern < 0:
            return DenseWeight(tensor.clone(memory_format=torch.contiguous_format))
        bits = torch.tensor(self.pattern, dtype=LAYOUTS[self.dtype].integer)
        # One pass over the weights, where a mask takes two more; the zeros are positive, as those of a mask are.
        return DenseWeight(torch.nn.functional.hardshrink(tensor, bits.view(self.dtype).item()).contiguous())


def survivors(
    tensors: Sequence[Tensor], dtype: torch.dtype, threshold: Threshold
) -> Iterator[Tensor | MagnitudesBeyond]:
    """Yield for each tensor which weights stay: by their magnitude, or as a contiguous bool tensor of its shape.

    Ties at the threshold are zeroed in the order of the tensors, then of the flat (row-major) index; a tensor needs
    a mask only if some of its ties are zeroed and others are not.

    Args:
        tensors: The pool that was ranked.
        dtype: The dtype in which it was ranked.
        threshold: What to zero.
    """
    up_to_it = MagnitudesBeyond(threshold.pattern, dtype)
    below_it = MagnitudesBeyond(threshold.pattern - 1, dtype)
    left = threshold.zeroed_ties
    for position in range(len(tensors)):
        if threshold.zeroed_ties == threshold.ties:
            yield up_to_it
        elif left == 0:
            yield below_it
        else:
            tensor = tensors[position]
            ties = _count_equal(tensor, dtype, threshold.pattern)
            yield up_to_it if ties <= left else _split_ties(tensor, dtype, threshold.pattern, left)
            left -= min(left, ties)


def _count_equal(tensor: Tensor, dtype: torch.dtype, pattern: int) -> int:
    return sum(int(torch.count_nonzero(patterns(piece, dtype) == pattern)) for piece in pieces(tensor))


def _split_ties(tensor: Tensor, dtype: torch.dtype, pattern: int, zeroed: int) -> Tensor:
    """Mask all that is smaller, and the first so many ties."""
    keep = torch.empty(tensor.shape, dtype=torch.bool, device=tensor.device)
    for piece, target in pieces_with(tensor, keep):
        found = patterns(piece, dtype)
        torch.gt(found, pattern, out=target)
        tied = (found == pattern).nonzero().view(-1)
        target[tied[zeroed:]] = True
        zeroed -= min(zeroed, tied.numel())
    return keep
