"""Pruning of output units by norm, against torch.nn.utils.prune and a loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.architectures import make_architecture
from torch.nn.utils import prune

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.methods.ln_structured import METHOD, rank
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe


def loaded(name: str) -> Loaded:
    return Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0.1, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("n", ["1", "2", "0.5", "inf"])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_masks_match_torch(name: str, dim: int, n: str, level: float) -> None:
    """GPT-2's Conv1D stores output units as columns, torch's dimension 1."""
    model = loaded(name).model
    recipe = parse_recipe(f"ln_structured:overall:{level}:dim={dim}:n={n}")
    result = Compressor(loaded(name)).compressed(recipe)
    done = set()
    for matrix in result.weights:
        module = model.get_submodule(matrix.module)
        if matrix.module not in done:
            stored = 1 - dim if matrix.form == "conv1d" else dim
            prune.ln_structured(module, "weight", amount=level, n=float(n), dim=stored)
            done.add(matrix.module)
    with Compressor(kept := loaded(name)).applied(recipe):
        for path in done:
            assert torch.equal(kept.model.get_submodule(path).weight, model.get_submodule(path).weight)


def test_the_head_of_a_tied_model_is_pruned_and_its_embedding_is_not() -> None:
    kept = loaded("llama_tied")
    before = kept.model.get_input_embeddings().weight.detach().clone()
    with Compressor(kept).applied(parse_recipe("ln_structured:head:0.4:n=1")) as result:
        rows = kept.model.lm_head.weight
        gone = set(before.abs().sum(1).argsort()[: round(0.4 * len(before))].tolist())
        assert {row for row in range(len(before)) if not rows[row].any()} == gone
        assert torch.equal(kept.model.get_input_embeddings().weight, before)
        assert result.reached.roles["head"].zeros == len(gone) * before.shape[1]


def test_biases_of_removed_units_are_kept() -> None:
    kept = loaded("gpt2")
    before = kept.model.transformer.h[0].mlp.c_fc.bias.detach().clone()
    with Compressor(kept).applied(parse_recipe("ln_structured:feed_forward.up:1")):
        layer = kept.model.transformer.h[0].mlp.c_fc
        assert torch.equal(layer(torch.randn(3, 32)), before.expand(3, -1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    experts=st.integers(1, 3),
    level=st.floats(0, 1),
    dim=st.integers(0, 1),
    n=st.sampled_from([1.0, "inf"]),
    seed=st.integers(0, 99),
)
def test_counts_are_exact_and_ties_go_to_the_lower_index(
    rows: int, columns: int, experts: int, level: float, dim: int, n: float | str, seed: int
) -> None:
    """Few distinct values, so that norms tie; experts' units compete within their tensor."""
    tensor = torch.randint(-1, 2, (experts, rows, columns), generator=torch.Generator().manual_seed(seed)).float()
    (keep,) = rank([tensor], {"n": n, "dim": dim}, seed=0)(level)
    units = [
        (expert, at, tensor[expert, at] if dim == 0 else tensor[expert, :, at])
        for expert in range(experts)
        for at in range(rows if dim == 0 else columns)
    ]
    norms = [math.fsum(map(abs, u.tolist())) if n == 1.0 else max(map(abs, u.tolist())) for *_, u in units]
    order = sorted(range(len(units)), key=lambda which: (norms[which], which))
    expected = torch.ones_like(tensor, dtype=torch.bool)
    for which in order[: round(level * len(units))]:
        expert, at, _ = units[which]
        expected[(expert, at) if dim == 0 else (expert, slice(None), at)] = False
    assert torch.equal(keep, expected)


def test_nan_is_refused_by_position() -> None:
    with pytest.raises(UnusableWeightError) as caught:
        rank([torch.ones(2, 2), torch.tensor([[1.0, math.nan]])], {"n": 1.0, "dim": 0}, seed=0)
    assert caught.value.position == 1


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("n=-1", "invalid option n=-1 for ln_structured (allowed: a number of at least 0, or inf)"),
        ("n=nuc", "invalid option n=nuc for ln_structured (allowed: a number of at least 0, or inf)"),
        ("dim=2", "invalid option dim=2 for ln_structured (allowed: 0, 1)"),
    ],
)
def test_options_are_checked(option: str, says: str) -> None:
    step = parse_recipe(f"ln_structured:head:0.5:{option}").steps[0]
    assert METHOD.declaration.problems(step) == [says]
    with pytest.raises(UserError):
        compress(loaded("llama"), f"ln_structured:head:0.5:{option}")
