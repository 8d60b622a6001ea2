"""What a model computes from its configuration is compared with what a checkpoint stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from models.architectures import ARCHITECTURES, make_architecture
from models.on_disk.test_stored_weights import changed, refused, saved
from scoring.batch_invariance.configurations import CONFIGURATIONS
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.models.loading import load
from forgetmeter.models.on_disk.recomputed_tensors import RecomputedTensors

POSITIONS = 64
EACH_HEAD = torch.arange(4) / 4
"""Exponents of the rotary frequencies of heads of size 8."""
LINEAR = {"rope_type": "linear", "factor": 8.0, "rope_theta": 10000.0}


def check(folder: Path, *, agrees: bool) -> None:
    if agrees:
        assert load(str(folder)).family
    else:
        assert "differs from the values computed from its config.json" in refused(folder)


def with_tensor(folder: Path, name: str, value: Tensor, **settings: object) -> Path:
    return changed(folder, folder.with_name(f"{folder.name} changed"), lambda old: old | {name: value}, **settings)


@pytest.mark.parametrize("place", ["model.rotary_emb", "model.layers.1.self_attn.rotary_emb"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("value", "settings", "agrees"),
    [
        (10000**-EACH_HEAD, {}, True),
        (10000**-EACH_HEAD / 8, {}, False),
        (500000**-EACH_HEAD, {}, False),
        (torch.ones(77), {}, False),
        (10000 ** -(torch.arange(2) / 2), {}, False),
        (10000**-EACH_HEAD / 8, {"rope_parameters": LINEAR}, True),
        # Old releases scaled the positions.
        (10000**-EACH_HEAD, {"rope_parameters": LINEAR}, True),
        (10000**-EACH_HEAD / 4, {"rope_parameters": LINEAR}, False),
    ],
)
def test_rotary_frequencies(
    tmp_path: Path, place: str, dtype: torch.dtype, value: Tensor, settings: dict[str, object], *, agrees: bool
) -> None:
    plain = saved(make_architecture("llama"), tmp_path / "plain")
    check(with_tensor(plain, f"{place}.inv_freq", value.to(dtype), **settings), agrees=agrees)


def test_rotary_frequencies_of_a_model_without_any(tmp_path: Path) -> None:
    plain = saved(make_architecture("gpt2"), tmp_path / "plain")
    folder = with_tensor(plain, "transformer.h.0.attn.rotary_emb.inv_freq", torch.ones(4))
    assert "the checkpoint holds transformer.h.0.attn.rotary_emb.inv_freq" in refused(folder)


def causal(size: int) -> Tensor:
    return torch.ones(1, 1, size, size).tril()


@pytest.mark.parametrize(
    ("name", "value", "agrees"),
    [
        ("bias", causal(POSITIONS).bool(), True),
        ("bias", causal(POSITIONS).to(torch.uint8), True),
        ("bias", causal(2 * POSITIONS), True),
        ("bias", causal(POSITIONS).triu(-3).bool(), False),
        ("bias", torch.ones(1, 1, POSITIONS, POSITIONS), False),
        ("masked_bias", torch.tensor(-1e4), True),
    ],
)
@pytest.mark.parametrize("path", ["transformer.h.1.attn", "h.1.attn", "gpt_neox.layers.1.attention"])
def test_masks(tmp_path: Path, path: str, name: str, value: Tensor, *, agrees: bool) -> None:
    plain = saved(make_architecture("gpt_neox" if "neox" in path else "gpt2"), tmp_path / "plain")
    check(with_tensor(plain, f"{path}.{name}", value), agrees=agrees)


def test_biases_that_are_no_masks_are_refused(tmp_path: Path) -> None:
    plain = saved(make_architecture("gpt_neox"), tmp_path / "plain")
    check(with_tensor(plain, "gpt_neox.layers.1.attention.bias", torch.ones(32)), agrees=False)


@pytest.mark.parametrize(
    ("name", "value", "agrees"),
    [
        ("position_ids", torch.arange(POSITIONS)[None], True),
        ("position_ids", torch.arange(2 * POSITIONS)[None], True),
        ("position_ids", torch.arange(POSITIONS).flip(0)[None], False),
        ("token_type_ids", torch.zeros(1, POSITIONS, dtype=torch.int64), True),
        ("token_type_ids", torch.ones(1, POSITIONS, dtype=torch.int64), False),
    ],
)
@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_positions_and_token_types(tmp_path: Path, prefix: str, name: str, value: Tensor, *, agrees: bool) -> None:
    plain = saved(make_architecture("bert"), tmp_path / "plain")
    check(with_tensor(plain, f"{prefix}embeddings.{name}", value), agrees=agrees)


@pytest.mark.parametrize(("change", "agrees"), [(lambda table: table, True), (lambda table: table + 0.5, False)])
def test_sinusoidal_positions(tmp_path: Path, change: Callable[[Tensor], Tensor], *, agrees: bool) -> None:
    """XGLM stored them in old releases."""
    model = CONFIGURATIONS["xglm as decoder"].model()
    plain = saved(model, tmp_path / "plain")
    table = model.get_buffer("model.embed_positions.weights").clone()
    check(with_tensor(plain, "model.embed_positions.weights", change(table).half()), agrees=agrees)


def agree_without_weights(model: PreTrainedModel) -> dict[str, bool]:
    """Whether each buffer that is not stored is what a model without weights computes for it."""
    with torch.device("meta"):
        skeleton = type(model)(model.config)
    recomputed = RecomputedTensors(skeleton)
    return {name: recomputed.has(name, buffer) for name, buffer in model.named_non_persistent_buffers()}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_agrees_with_itself(name: str) -> None:
    assert all(agree_without_weights(make_architecture(name)).values())


@pytest.mark.architectures
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration_agrees_with_itself(name: str) -> None:
    assert all(agree_without_weights(CONFIGURATIONS[name].model()).values())


def test_what_transformers_fails_to_initialize_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_architecture("llama")

    def fail(*_: object) -> None:
        raise AttributeError("hidden_size")

    monkeypatch.setattr(type(model), "_init_weights", fail)
    with torch.device("meta"):
        skeleton = type(model)(model.config)
    recomputed = RecomputedTensors(skeleton)
    # No frequencies are known to compare a stored tensor with.
    assert not recomputed.has("model.rotary_emb.inv_freq", torch.ones(77))


def test_gemma_3n_is_loaded(tmp_path: Path) -> None:
    """Its own initialization in transformers fails without the images' part."""
    folder = saved(CONFIGURATIONS["gemma3n_text as decoder"].model(), tmp_path / "plain")
    assert load(str(folder)).family == "decoder"


def test_the_skeleton_computes_without_drawing_random_numbers() -> None:
    model = make_architecture("llama")
    before = torch.get_rng_state()
    assert agree_without_weights(model) == {
        "model.rotary_emb.inv_freq": True,
        "model.rotary_emb.original_inv_freq": True,
    }
    assert torch.equal(torch.get_rng_state(), before)
