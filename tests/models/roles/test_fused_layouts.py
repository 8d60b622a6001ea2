"""Fused layouts, against what the models compute: the rows labelled query produce the query."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import torch
from models.architectures import HEADS, HIDDEN, logits_of, make_architecture
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.bloom.modeling_bloom import BloomAttention

from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.role import Matrix

HEAD_SIZE = HIDDEN // HEADS
FUSED_ATTENTION = (
    "bloom",
    "falcon",
    "falcon_grouped",
    "falcon_multi_query",
    "gpt2",
    "gpt_neox",
    "modernbert",
    "phi3",
)


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def fused(model: PreTrainedModel, component: str) -> dict[str, Matrix]:
    """Return the fused matrices of the first block, by part."""
    return {
        str(matrix.role.part): matrix
        for matrix in weight_map(model)
        if matrix.axis is not None and matrix.layer == 0 and matrix.role.component == component
    }


def index_of(matrix: Matrix) -> Tensor:
    return torch.cat([torch.arange(start, stop) for start, stop in matrix.ranges])


def apply_part(model: PreTrainedModel, matrix: Matrix, inputs: Tensor) -> Tensor:
    """Compute a part's outputs from its weights alone."""
    module = model.get_submodule(matrix.module)
    weight = module.weight.t() if matrix.axis == 1 else module.weight
    bias = None if module.bias is None else module.bias[index_of(matrix)]
    return nn.functional.linear(inputs, weight[index_of(matrix)], bias)


@contextmanager
def first_attention_recorded(found: list[tuple[Tensor, Tensor, Tensor]]) -> Iterator[None]:
    """Record query, key and value as attention receives them, shape (batch, heads, positions, head size)."""
    attend, split = nn.functional.scaled_dot_product_attention, BloomAttention._reshape

    def recording_attend(query: Tensor, key: Tensor, value: Tensor, *rest: object, **more: object) -> Tensor:
        found.append((query, key, value))
        return attend(query, key, value, *rest, **more)

    def recording_split(self: BloomAttention, fused_qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found.append(split(self, fused_qkv))
        return found[-1]

    with (
        patch.object(nn.functional, "scaled_dot_product_attention", recording_attend),
        patch.object(BloomAttention, "_reshape", recording_split),
    ):
        yield


def inputs_of(model: PreTrainedModel, path: str) -> Tensor:
    seen: list[Tensor] = []
    handle = model.get_submodule(path).register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    logits_of(model)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("name", FUSED_ATTENTION)
def test_parts_compute_what_attention_receives(name: str) -> None:
    model = make_architecture(name)
    parts = fused(model, "attention")
    assert parts.keys() == {"query", "key", "value"}
    inputs = inputs_of(model, parts["query"].module)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    with first_attention_recorded(found):
        logits_of(model)
    for part, received in zip(("query", "key", "value"), found[0], strict=True):
        # Rotary embeddings do not change the first position.
        first = received.expand(-1, HEADS, -1, -1)[:, :, 0] if received.shape[1] == 1 else received[:, :, 0]
        made = apply_part(model, parts[part], inputs)[:, 0].unflatten(-1, (-1, HEAD_SIZE))
        shared_by = first.shape[1] // made.shape[1]
        torch.testing.assert_close(first, made.repeat_interleave(shared_by, dim=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FUSED_ATTENTION)
@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_attention_is_nothing_without_values_and_blind_without_queries_or_keys(name: str, part: str) -> None:
    model = make_architecture(name)
    matrix = fused(model, "attention")[part]
    output = next(m for m in weight_map(model) if m.role.part == "output" and m.layer == 0)
    module = model.get_submodule(matrix.module)
    module.weight.index_fill_(matrix.axis, index_of(matrix), 0)
    if module.bias is not None:
        module.bias[index_of(matrix)] = 0
    attended = inputs_of(model, output.module)
    assert bool((attended == 0).all()) == (part == "value")
    if part != "value" and name not in ("bloom", "modernbert"):
        # All positions are equal, so each sees the average of the values up to it.
        values = apply_part(model, fused(model, "attention")["value"], inputs_of(model, matrix.module))
        heads = values.unflatten(-1, (-1, HEAD_SIZE))
        heads = heads.repeat_interleave(HEADS // heads.shape[-2], dim=-2).flatten(-2)
        averages = heads.cumsum(1) / torch.arange(1, heads.shape[1] + 1)[:, None]
        torch.testing.assert_close(attended, averages, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "activation"), [("phi3", "activation_fn"), ("modernbert", "act")])
def test_the_gate_is_what_is_activated(name: str, activation: str) -> None:
    model = make_architecture(name)
    parts = fused(model, "feed_forward")
    assert parts.keys() == {"gate", "up"}
    inputs = inputs_of(model, parts["gate"].module)
    mlp = parts["gate"].module.rpartition(".")[0]
    activated = inputs_of(model, f"{mlp}.{activation}")
    torch.testing.assert_close(activated, apply_part(model, parts["gate"], inputs))


@pytest.mark.parametrize("name", ["mixtral", "qwen2_moe", "qwen3_moe"])
def test_the_gate_of_experts_is_what_is_activated(name: str) -> None:
    model = make_architecture(name)
    parts = fused(model, "feed_forward")
    experts = model.get_submodule(parts["gate"].module)
    inputs = inputs_of(model, parts["gate"].module).flatten(0, -2)
    activated = inputs_of(model, f"{parts['gate'].module}.act_fn").flatten(0, -2)
    gates = experts.gate_up_proj[:, index_of(parts["gate"])]
    possible = torch.einsum("ti,eoi->teo", inputs, gates).flatten(0, 1)
    away = (activated[:, None] - possible[None]).abs().amax(-1)
    assert float(away.min(dim=1).values.max()) < 1e-4
