"""Rounded weights with zero points and groups, cut, joined and turned, against one number at a time.

Covers ``compression.forms.grouped_integers``.
"""

from __future__ import annotations

import pytest
import torch

from forgetmeter.compression.forms.rounded_weight import RoundedWeight


def make(*, has_points=True, has_groups=True, seed=0):
    random = torch.Generator().manual_seed(seed)
    groups = torch.randperm(12, generator=random).remainder(3).int() if has_groups else None
    return RoundedWeight(
        torch.randint(-8, 8, (6, 12), generator=random, dtype=torch.int8),
        torch.rand(6, 3, generator=random),
        input_axis=-1,
        bit_width=4,
        zero_points=torch.randint(-8, 8, (6, 3), generator=random, dtype=torch.int8) if has_points else None,
        groups=groups,
    )


def by_hand(weight):
    values = torch.zeros(6, 12)
    for row in range(6):
        for place in range(12):
            group = place // 4 if weight.groups is None else int(weight.groups[place])
            zero = 0 if weight.zero_points is None else int(weight.zero_points[row, group])
            values[row, place] = (int(weight.integers[row, place]) - zero) * float(weight.factors[row, group])
    return values


EACH = pytest.mark.parametrize(
    "weight", [make(has_points=points, has_groups=groups) for points in (0, 1) for groups in (0, 1)]
)


@EACH
def test_values_either_way_round(weight) -> None:
    assert torch.equal(weight.values(), by_hand(weight))
    turned = weight.transposed()
    assert turned.shape == (12, 6)
    assert torch.equal(turned.values(), by_hand(weight).t())
    assert torch.equal(turned.transposed().values(), by_hand(weight))


@EACH
@pytest.mark.parametrize("is_turned", [False, True])
def test_parts_and_their_union(weight, is_turned) -> None:
    whole, axis = (weight.transposed(), 1) if is_turned else (weight, 0)
    ranges = [((0, 1), (4, 6)), ((1, 4),)]
    parts = [whole.part(axis, each) for each in ranges]
    assert torch.equal(parts[1].values(), whole.values().narrow(axis, 1, 3))
    assert parts[0].can_join(parts[1])
    joined = parts[0].join(axis, list(zip(ranges, parts, strict=True)))
    assert torch.equal(joined.values(), whole.values())
    assert sum(part.scales() for part in parts) == whole.scales()


def test_weights_on_other_grids_are_not_joined() -> None:
    one, other = make(), make(seed=1)
    assert not one.can_join(other), "groups differ"
    assert not make(has_groups=False).can_join(make(has_groups=False, has_points=False))
    assert make(has_groups=False).can_join(make(has_groups=False, seed=1))


@EACH
def test_masked_weights_are_exactly_zero(weight) -> None:
    keep = torch.rand(6, 12, generator=torch.Generator().manual_seed(2)) < 0.5
    for whole, mask in ((weight, keep), (weight.transposed(), keep.t())):
        masked = whole.masked(mask)
        assert torch.equal(masked.values() == 0, (whole.values() == 0) | ~mask)
        assert torch.equal(masked.values()[mask], whole.values()[mask])
        assert masked.integers.dtype == torch.int8
        assert masked.factors is whole.factors


@pytest.mark.parametrize(("points", "groups", "extra"), [(0, 0, 0), (1, 0, 9), (0, 1, 48), (1, 1, 57)])
def test_bytes_count_zero_points_and_groups(points, groups, extra) -> None:
    weight = make(has_points=points, has_groups=groups)
    assert weight.quantized_bytes(10**6) == 6 * 12 // 2 + 4 * 18 + extra
    assert weight.smallest_bytes(10**6) == min(
        weight.quantized_bytes(10**6), 9 + -(-int(weight.values().count_nonzero()) * 4 // 8) + 4 * 18 + extra
    )
