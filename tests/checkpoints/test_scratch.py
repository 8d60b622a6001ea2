"""Deferred weights behave like weights in memory.

Covers ``compression.forms.deferred_weight``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from forgetmeter.checkpoints.scratch import Scratch
from forgetmeter.compression.forms.cast_weight import CastWeight
from forgetmeter.compression.forms.codebook_weight import CodebookWeight
from forgetmeter.compression.forms.deferred_weight import DeferredWeight
from forgetmeter.compression.forms.int8_weight import Int8Weight
from forgetmeter.compression.forms.low_rank_weight import LowRankWeight
from forgetmeter.compression.forms.rounded_weight import RoundedWeight
from forgetmeter.compression.forms.shifted_weight import ShiftedWeight
from forgetmeter.compression.forms.weight import DenseWeight, PartWeight, Weight

INTEGERS = torch.arange(-24, 24, dtype=torch.int8).view(6, 8)
FORMS: dict[str, Callable[[], Weight]] = {
    "dense": lambda: DenseWeight(INTEGERS.to(torch.bfloat16)),
    "cast": lambda: CastWeight(DenseWeight(INTEGERS.to(torch.float16))),
    "int8": lambda: Int8Weight(INTEGERS, torch.tensor([[0.5]])),
    "rounded": lambda: RoundedWeight(INTEGERS, torch.rand(6, 2) + 1, input_axis=-1, bit_width=6),
    "codebook": lambda: CodebookWeight(
        INTEGERS % 4 - 1, torch.rand(6, 2) + 1, input_axis=-1, levels=(-1.0, 0.0, 0.3, 1.0)
    ),
    "shifted": lambda: ShiftedWeight(
        INTEGERS.short().clamp(-1, 15),
        torch.rand(6, 2) + 1,
        input_axis=-1,
        bit_width=4,
        zero_points=torch.rand(6, 2),
        has_zeros=True,
    ),
    "low_rank": lambda: LowRankWeight(INTEGERS.float(), 3),
}


@pytest.mark.parametrize("form", FORMS)
def test_deferred_weights_answer_like_weights_in_memory(tmp_path: Path, form: str) -> None:
    weight = FORMS[form]()
    with Scratch(tmp_path / "scratch") as scratch:
        kept = scratch.kept(weight)
        assert isinstance(kept, DeferredWeight)
        assert scratch.kept(kept) is kept
        keep = torch.rand(6, 8) > 0.5
        pairs = [
            (kept, weight),
            (kept.part(0, ((1, 3), (4, 5))), weight.part(0, ((1, 3), (4, 5)))),
            (kept.transposed(), weight.transposed()),
            (PartWeight(kept, 0, ((2, 4),)), PartWeight(weight, 0, ((2, 4),))),
        ]
        for ours, theirs in pairs:
            assert ours.shape == theirs.shape
            assert (ours.bits(), ours.scales()) == (theirs.bits(), theirs.scales())
            assert torch.equal(ours.values(), theirs.values())
            assert ours.values().dtype == theirs.values().dtype
            assert type(ours.loaded()) in (type(theirs), type(weight))
        assert torch.equal(kept.masked(keep).values(), weight.masked(keep).values())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMS)
def test_parts_are_joined_as_in_memory(tmp_path: Path, form: str) -> None:
    weight = FORMS[form]()
    halves = [(((0, 3),), weight.part(0, ((0, 3),))), (((3, 6),), weight.part(0, ((3, 6),)))]
    with Scratch(tmp_path / "scratch") as scratch:
        kept = [(ranges, scratch.kept(part)) for ranges, part in halves]
        assert kept[0][1].can_join(kept[1][1]) == halves[0][1].can_join(halves[1][1])
        whole = kept[0][1].join(0, kept)
        assert torch.equal(whole.values(), halves[0][1].join(0, halves).values())
        assert torch.equal(whole.values(), weight.values())
