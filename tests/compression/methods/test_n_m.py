"""N:M pruning, against a loop over groups."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.architectures import make_architecture
from torch import Tensor

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.methods import n_m
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe


def by_hand(rows: list[list[float]], zeros: int, size: int) -> list[list[float]]:
    pruned = [list(row) for row in rows]
    for row in pruned:
        for start in range(0, len(row), size):
            order = sorted(range(start, start + size), key=lambda at: (abs(row[at]), at))
            for at in order[:zeros]:
                row[at] = 0.0
    return pruned


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 5),
    groups=st.integers(1, 4),
    pattern=st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 4), (4, 8)]),
    seed=st.integers(0, 999),
    piece=st.sampled_from([1, 16, 1 << 20]),
)
def test_every_group_loses_its_smallest(
    rows: int, groups: int, pattern: tuple[int, int], seed: int, piece: int
) -> None:
    """Few distinct values, so that magnitudes tie."""
    zeros, size = pattern
    values = torch.randint(-3, 4, (rows, groups * size), generator=torch.Generator().manual_seed(seed)).float()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(n_m, "_PIECE", piece)
        (keep,) = n_m.rank([values], {"n": zeros, "m": size}, seed=0)(1.0)
    assert (values * keep).abs().tolist() == [
        [abs(value) for value in row] for row in by_hand(values.tolist(), *pattern)
    ]
    assert (keep.view(-1, size).sum(1) == size - zeros).all()


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_groups_lie_along_the_input_units(name: str) -> None:
    loaded = Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]
    with Compressor(loaded).applied(parse_recipe("n_m:overall:m=8:n=3")) as result:
        for matrix in {matrix.parameter: matrix for matrix in result.weights}.values():
            old: Tensor = make_architecture(name).get_parameter(matrix.parameter).detach()
            new: Tensor = loaded.model.get_parameter(matrix.parameter)
            old, new = (old.t(), new.t()) if matrix.form == "conv1d" else (old, new)
            assert new.reshape(-1, new.shape[-1]).tolist() == by_hand(old.reshape(-1, old.shape[-1]).tolist(), 3, 8)
        assert result.reached.selected_zeros == result.reached.selected_weights * 3 // 8


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("n=2:m=5", "n_m: m=5 does not divide the 32 input units of model.layers.0.self_attn.q_proj.weight"),
        ("n=4:m=4", "n_m with n=4 and m=4 would zero everything"),
        ("n=0", "invalid option n=0 for n_m (allowed: an integer of at least 1)"),
        ("m=2.5", "invalid option m=2.5 for n_m (allowed: an integer of at least 2)"),
    ],
)
def test_patterns_that_do_not_fit_are_refused_up_front(options: str, says: str) -> None:
    loaded = Loaded(make_architecture("llama"), tokenizer=None, family="decoder", name="x")  # type: ignore[arg-type]
    (problem,) = Compressor(loaded).check(parse_recipe(f"n_m:attention:{options}"))
    assert problem.startswith(says)


def test_nan_is_refused_by_position() -> None:
    with pytest.raises(UnusableWeightError) as caught:
        list(n_m.rank([torch.ones(1, 4), torch.tensor([[1, 2, 3, math.nan]])], {"n": 2, "m": 4}, seed=0)(1.0))
    assert caught.value.position == 1
