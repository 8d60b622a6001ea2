"""Exact selection of the smallest-magnitude weights in a pool, without concatenating its tensors.

The bits of a floating-point number without its sign, read as an integer, order numbers by magnitude. So the k-th
smallest is found digit by digit (radix selection). One pass counts the leading 15 bits of all weights and serves every
k. One more pass per further 16 bits counts only the weights that share the digits found so far, for any number of k at
once. float16 and bfloat16 need no such pass, float32 one, float64 three.

Everything runs on pieces of the tensors, so it needs a few MB of memory at any size, and gives the same result on any
device and with any number of threads.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.compression.ranking.magnitude_bits import LAYOUTS, patterns, pieces, pieces_with

LEADING_BITS = 15
DIGIT_BITS = 16


@dataclass(frozen=True)
class MagnitudeRanking:
    """The distribution of magnitudes in a pool of weights.

    Attributes:
        size: Number of weights.
        dtype: The dtype of comparison: that of the weights, or the widest if they differ.
        digits: The leading bits that occur, ascending; int64, shape ``(n,)``.
        up_to: Number of weights with at most these leading bits; int64, shape ``(n,)``.
    """

    size: int
    dtype: torch.dtype
    digits: Tensor
    up_to: Tensor


@dataclass(frozen=True)
class Threshold:
    """The magnitude below which all weights are zeroed, and the number of weights at it that are zeroed too.

    Attributes:
        pattern: The bits of the magnitude as an integer; -1 if nothing is zeroed.
        ties: Number of weights of the pool with exactly this magnitude.
        zeroed_ties: Number of ties that are zeroed, in the order of the pool.
    """

    pattern: int
    ties: int
    zeroed_ties: int


def rank_magnitudes(tensors: Sequence[Tensor]) -> MagnitudeRanking:
    """Rank all weights in one pass, or two if their dtypes differ.

    Args:
        tensors: The pool, in order; floating-point tensors of any shape, strides and device.

    Raises:
        UnusableWeightError: A tensor holds NaN or has a dtype that is not supported.
    """
    counts = _count_leading(tensors)
    if len(counts) > 1:
        widest = functools.reduce(torch.promote_types, counts)
        counts = _count_leading(tensors, widest)
    dtype, found = next(iter(counts.items()), (torch.float32, torch.zeros(1 << LEADING_BITS, dtype=torch.int64)))
    layout = LAYOUTS[dtype]
    if found[layout.infinity >> (layout.magnitude_bits - LEADING_BITS) :].any():
        _refuse_nan(tensors)
    digits = found.nonzero().view(-1)
    return MagnitudeRanking(int(found.sum()), dtype, digits, found[digits].cumsum(0))


def find_thresholds(
    tensors: Sequence[Tensor], ranking: MagnitudeRanking, counts: Iterable[int]
) -> dict[int, Threshold]:
    """Return the threshold of each count, which zeroes that many smallest magnitudes; all in the same passes."""
    counts = sorted(set(counts))
    places = {count: _locate(ranking.up_to, count) for count in counts if count > 0}
    found = {count: _Found(int(ranking.digits[place.index]), place) for count, place in places.items()}
    for shift in range(LAYOUTS[ranking.dtype].magnitude_bits - LEADING_BITS, 0, -DIGIT_BITS):
        prefixes = sorted({one.pattern for one in found.values()})
        up_to = _count_next_digit(tensors, ranking.dtype, prefixes, shift).cumsum_(1)
        for count, one in found.items():
            place = _locate(up_to[prefixes.index(one.pattern)], count - one.place.below)
            below = one.place.below + place.below
            found[count] = _Found(one.pattern << DIGIT_BITS | place.index, replace(place, below=below))
    nothing = {count: Threshold(pattern=-1, ties=0, zeroed_ties=0) for count in counts if count == 0}
    return nothing | {
        count: Threshold(one.pattern, one.place.ties, zeroed_ties=count - one.place.below)
        for count, one in found.items()
    }


def _count_leading(tensors: Sequence[Tensor], common: torch.dtype | None = None) -> dict[torch.dtype, Tensor]:
    """Count the leading bits of all weights in one pass, in a common dtype or in each tensor's own."""
    counts: dict[torch.dtype, Tensor] = {}
    for position, tensor in enumerate(tensors):
        if tensor.dtype not in LAYOUTS:
            allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in LAYOUTS)
            raise UnusableWeightError(f"has dtype {tensor.dtype} (allowed: {allowed})", position=position)
        dtype = common or tensor.dtype
        found = counts.setdefault(dtype, torch.zeros(1 << LEADING_BITS, dtype=torch.int64))
        shift = LAYOUTS[dtype].magnitude_bits - LEADING_BITS
        for piece in pieces(tensor):
            leading = (patterns(piece, dtype) >> shift).to(torch.int16)
            found += torch.bincount(leading, minlength=found.numel()).cpu()
    return counts


def _refuse_nan(tensors: Sequence[Tensor]) -> None:
    for position, tensor in enumerate(tensors):
        if any(piece.isnan().any() for piece in pieces(tensor)):
            reason = "holds NaN, which has no magnitude to rank by; use an intact checkpoint"
            raise UnusableWeightError(reason, position=position)


@dataclass(frozen=True)
class _Cut:
    """The index at which a count is reached, and the numbers of weights below and at it."""

    index: int
    below: int
    ties: int


@dataclass(frozen=True)
class _Found:
    """The digits of a threshold found so far."""

    pattern: int
    place: _Cut


def _locate(up_to: Tensor, count: int) -> _Cut:
    index = int(torch.searchsorted(up_to, count))
    below = int(up_to[index - 1]) if index else 0
    return _Cut(index, below, int(up_to[index]) - below)


def _count_next_digit(tensors: Sequence[Tensor], dtype: torch.dtype, prefixes: Sequence[int], shift: int) -> Tensor:
    """Count the digits that follow each prefix; int64, shape ``(prefixes, 2 ** DIGIT_BITS)``.

    Args:
        prefixes: Bits of a magnitude above ``shift``, ascending.
        shift: Number of bits after the prefix.
    """
    leading_shift = LAYOUTS[dtype].magnitude_bits - LEADING_BITS
    known = torch.tensor(prefixes, dtype=torch.int64)
    wanted = torch.zeros(1 << LEADING_BITS, dtype=torch.bool)
    wanted[known >> (leading_shift - shift)] = True
    counts = torch.zeros(len(prefixes) << DIGIT_BITS, dtype=torch.int64)
    for tensor in tensors:
        looked_up = wanted.to(tensor.device)
        for piece in pieces(tensor):
            found = patterns(piece, dtype)
            near = looked_up.index_select(0, found >> leading_shift).nonzero().view(-1)
            # Few weights remain from here on.
            few = found[near].to("cpu", torch.int64)
            which = torch.searchsorted(known, few >> shift).clamp_max_(len(prefixes) - 1)
            cells = which << DIGIT_BITS | (few >> (shift - DIGIT_BITS)) & ((1 << DIGIT_BITS) - 1)
            cells = cells[known[which] == few >> shift]
            counts.index_add_(0, cells, torch.ones(cells.numel(), dtype=torch.int64))
    return counts.view(len(prefixes), 1 << DIGIT_BITS)


@dataclass(frozen=True)
class MagnitudesBeyond:
    """Survivors above a magnitude limit: an implicit mask.

    Attributes:
        pattern: The bits of the limit as an integer; -1 if all weights stay.
        dtype: The dtype in which magnitudes are compared.
    """

    pattern: int
    dtype: torch.dtype

    def mask(self, tensor: Tensor) -> Tensor:
        """Return a contiguous bool tensor of the tensor's shape that is true where the weight stays."""
        keep = torch.empty(tensor.shape, dtype=torch.bool, device=tensor.device)
        for piece, target in pieces_with(tensor, keep):
            torch.gt(patterns(piece, self.dtype), self.pattern, out=target)
        return keep

    def of(self, weight: Weight) -> Weight:
        """Return the weight in the same form, with all others zeroed."""
        loaded = weight.loaded()
        if not isinstance(loaded, DenseWeight) or loaded.tensor.dtype != self.dtype:
            return loaded.masked(self.mask(loaded.values()))
        tensor = loaded.tensor.detach()
        if self.pattern < 0:
            return DenseWeight(tensor.clone(memory_format=torch.contiguous_format))
        bits = torch.tensor(self.pattern, dtype=LAYOUTS[self.dtype].integer)
        # A mask would take two more passes; zeros are positive, as with a mask.
        return DenseWeight(torch.nn.functional.hardshrink(tensor, bits.view(self.dtype).item()).contiguous())


def survivors(
    tensors: Sequence[Tensor], dtype: torch.dtype, threshold: Threshold
) -> Iterator[Tensor | MagnitudesBeyond]:
    """Yield the survivors of each tensor: as a magnitude limit, or as a contiguous bool mask of its shape.

    Ties at the threshold are zeroed in the order of the tensors, then of the flat (row-major) index. A tensor needs
    a mask only if some but not all of its ties are zeroed.
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
    """Return a mask that removes all smaller weights and the first ``zeroed`` ties."""
    keep = torch.empty(tensor.shape, dtype=torch.bool, device=tensor.device)
    for piece, target in pieces_with(tensor, keep):
        found = patterns(piece, dtype)
        torch.gt(found, pattern, out=target)
        tied = (found == pattern).nonzero().view(-1)
        target[tied[zeroed:]] = True
        zeroed -= min(zeroed, tied.numel())
    return keep
