"""Selection of the smallest magnitudes, against a stable sort of the whole pool.

Covers ``compression.ranking.magnitude_bits``.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.ranking import magnitude_bits
from forgetmeter.compression.ranking.magnitude_ranking import find_thresholds, rank_magnitudes, survivors

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def expected_masks(tensors, count):
    magnitudes = torch.cat([tensor.reshape(-1).double().abs() for tensor in tensors])
    keep = torch.ones(magnitudes.numel(), dtype=torch.bool)
    keep[torch.argsort(magnitudes, stable=True)[:count]] = False
    parts = keep.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def masks(tensors, count):
    ranking = rank_magnitudes(tensors)
    found = survivors(tensors, ranking.dtype, find_thresholds(tensors, ranking, [count])[count])
    return [
        keep if isinstance(keep, torch.Tensor) else keep.mask(tensor)
        for tensor, keep in zip(tensors, found, strict=True)
    ]


def assert_same(actual, expected):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == torch.bool
        assert torch.equal(one, other)


# Few distinct values, so that most tie; with both zeros, a subnormal and adjacent numbers.
VALUES = (0.0, -0.0, 1.0, -1.0, 1.0078125, -2.0, 0.5, 1e-7, -3e38, math.inf, -math.inf, 0.3)


@st.composite
def pools(draw):
    shapes = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 7)), min_size=1, max_size=5))
    dtypes = draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=2))
    tensors = []
    for index, (rows, columns) in enumerate(shapes):
        size = rows * columns
        values = draw(st.lists(st.sampled_from(VALUES), min_size=size, max_size=size))
        tensor = torch.tensor(values, dtype=torch.float64).to(dtypes[index % len(dtypes)])
        transposed = draw(st.booleans())
        tensors.append(tensor.view(columns, rows).t() if transposed else tensor.view(rows, columns))
    return tensors


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pools(), st.floats(0, 1))
def test_ties_go_to_the_earlier_tensor_then_the_lower_index(tensors, level):
    count = round(level * sum(tensor.numel() for tensor in tensors))
    before = [tensor.clone() for tensor in tensors]
    found = masks(tensors, count)
    assert_same(found, expected_masks(tensors, count))
    assert sum(int((~keep).sum()) for keep in found) == count
    assert all(torch.equal(tensor, old) for tensor, old in zip(tensors, before, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("piece", [1, 7, 1 << 18])
def test_results_do_not_depend_on_pieces(monkeypatch, dtype, piece):
    monkeypatch.setattr(magnitude_bits, "PIECE", piece)
    generator = torch.Generator().manual_seed(1)
    wide = torch.randn(5, 40, generator=generator).to(dtype)
    tensors = [
        wide[:, ::2],
        torch.randn(9, 4, generator=generator).to(dtype).t(),
        torch.randn((), generator=generator).to(dtype),
        torch.randn(3, 4, 5, generator=generator).to(dtype).transpose(0, 2),
        torch.randn(31, generator=generator).to(dtype)[::3],
    ]
    size = sum(tensor.numel() for tensor in tensors)
    for count in (0, 1, size // 3, size - 1, size):
        assert_same(masks(tensors, count), expected_masks(tensors, count))


def test_adjacent_float64_numbers_are_distinguished():
    values = [1.0]
    for _ in range(20):
        values.append(math.nextafter(values[-1], 2))
    tensor = torch.tensor(values[::-1], dtype=torch.float64)
    for count in range(len(values) + 1):
        assert_same(masks([tensor], count), expected_masks([tensor], count))


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_counts_at_once_match_each_alone(dtype):
    tensors = [torch.randn(30, 7, generator=torch.Generator().manual_seed(2)).to(dtype)]
    ranking = rank_magnitudes(tensors)
    together = find_thresholds(tensors, ranking, range(211))
    assert together == {count: find_thresholds(tensors, ranking, [count])[count] for count in range(211)}


def test_mixed_dtypes_are_compared_by_value():
    tensors = [torch.tensor([1.0, 3.0], dtype=torch.bfloat16), torch.tensor([2.0, 1.0], dtype=torch.float16)]
    assert rank_magnitudes(tensors).dtype == torch.float32
    assert_same(masks(tensors, 2), [torch.tensor([False, True]), torch.tensor([True, False])])


def test_parameters_with_gradient_are_accepted():
    assert_same(masks([torch.nn.Parameter(torch.tensor([1.0, 2.0]))], 1), [torch.tensor([False, True])])


def test_an_empty_pool_has_nothing_to_zero():
    assert masks([], 0) == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_is_refused_and_its_tensor_named(dtype):
    tensors = [torch.ones(3, dtype=dtype), torch.tensor([math.inf, math.nan], dtype=dtype)]
    with pytest.raises(UnusableWeightError, match="weight matrix 1 of the scope holds NaN") as caught:
        rank_magnitudes(tensors)
    assert caught.value.position == 1


def test_a_nan_whose_leading_bits_are_those_of_infinity_is_refused():
    hidden = torch.tensor([0x7F80_0001], dtype=torch.int32).view(torch.float32)
    with pytest.raises(UnusableWeightError, match="NaN"):
        rank_magnitudes([hidden])


def test_other_dtypes_are_refused():
    with pytest.raises(UnusableWeightError, match=r"int8 \(allowed: float64, float32, float16, bfloat16\)"):
        rank_magnitudes([torch.ones(2, dtype=torch.int8)])
