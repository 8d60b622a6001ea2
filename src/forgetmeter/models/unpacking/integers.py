"""Integers of a few bits, packed into 32-bit words without gaps, lowest bit first."""

from __future__ import annotations

from math import lcm

import torch
from torch import Tensor

_WORD = 32


def unpacked(words: Tensor, bits: int) -> Tensor:
    """Unpack integers along the first dimension; one may begin in one word and end in the next.

    Args:
        words: int32, ``(words, ...)``.
        bits: Bits per integer, at most 8; ``32 * words`` must be a multiple of ``lcm(bits, 32)``.

    Returns:
        uint8, ``(32 * words / bits, ...)``.
    """
    period = lcm(bits, _WORD)
    grouped = words.unflatten(0, (-1, period // _WORD))
    result = torch.empty(len(grouped), period // bits, *words.shape[1:], dtype=torch.uint8)
    for number in range(period // bits):
        word, shift = divmod(number * bits, _WORD)
        # The shift is arithmetic: the copies of the sign bit are masked.
        values = (grouped[:, word] >> shift) & ((1 << min(bits, _WORD - shift)) - 1)
        if shift + bits > _WORD:
            values |= grouped[:, word + 1] << (_WORD - shift)
        result[:, number] = values & ((1 << bits) - 1)
    return result.flatten(0, 1)
