"""Unpacked integers are the bits of the words, read as one long number from the lowest bit."""

from __future__ import annotations

from math import lcm

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetmeter.models.unpacking.integers import unpacked


@settings(deadline=None, max_examples=50)
@given(bits=st.integers(1, 8), periods=st.integers(1, 3), columns=st.integers(1, 4), data=st.data())
def test_any_bits(bits: int, periods: int, columns: int, data: st.DataObject) -> None:
    words = periods * lcm(bits, 32) // 32
    word = st.integers(-(1 << 31), (1 << 31) - 1)
    rows = data.draw(st.lists(st.lists(word, min_size=columns, max_size=columns), min_size=words, max_size=words))
    expected = []
    for column in zip(*rows, strict=True):
        stream = sum((each % (1 << 32)) << 32 * place for place, each in enumerate(column))
        expected.append([stream >> bits * place & (1 << bits) - 1 for place in range(32 * words // bits)])
    assert unpacked(torch.tensor(rows, dtype=torch.int32), bits).T.tolist() == expected
