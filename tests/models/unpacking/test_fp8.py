"""FP8 checkpoints are read as exactly the plain weights that they stand for.

The checkpoints are made by ``packed_checkpoints`` from the format's definition, not by the package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models.unpacking.packed_checkpoints import assert_same, changed, fp8_packer, packed_checkpoint, wide_llama
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    FineGrainedFP8Config,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load

Q_PROJ = "model.layers.0.self_attn.q_proj"


def fp8(**settings: Any) -> dict[str, Any]:
    return {"quant_method": "fp8", "activation_scheme": "dynamic"} | settings


@pytest.mark.parametrize("blocks", [(32, 32), (20, 24), (128, 128), (1, 32)])
def test_blocks(blocks: tuple[int, int], tmp_path: Path) -> None:
    """Blocks of 20 by 24 divide no weight; those of 128 are larger than all."""
    method = fp8(weight_block_size=list(blocks))
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, fp8_packer(blocks), method))


@pytest.mark.parametrize("by", ["channel", "tensor"])
@pytest.mark.parametrize("scale", ["weight_scale_inv", "weight_scale", "scale", "qscale_weight"])
def test_scales_of_channels_and_tensors(by: str, scale: str, tmp_path: Path) -> None:
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, fp8_packer(by=by, scale=scale), fp8()))


@pytest.mark.parametrize("scales_in", [torch.bfloat16, torch.uint8, torch.float8_e8m0fnu])
def test_dtypes_of_scales(scales_in: torch.dtype, tmp_path: Path) -> None:
    """Bytes are exponents of two, as in MXFP8."""
    packer = fp8_packer((32, 32), scales_in=scales_in)
    method = fp8(weight_block_size=[32, 32])
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, packer, method))


def test_blocks_that_the_configuration_does_not_state(tmp_path: Path) -> None:
    """They are of transformers' default size."""
    torch.manual_seed(0)
    config = LlamaConfig(**wide_llama().config.to_dict() | {"intermediate_size": 288})
    model = LlamaForCausalLM(config).eval()
    assert_same(tmp_path, packed_checkpoint(model, tmp_path, fp8_packer((128, 128)), fp8()))


def test_mxfp8(tmp_path: Path) -> None:
    packer = fp8_packer((1, 32), scales_in=torch.uint8)
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, packer, {"quant_method": "mxfp8"}))


def test_blocks_that_divide_are_read_as_by_transformers(checkpoint: Path) -> None:
    found = load(checkpoint).model.state_dict()
    for name, tensor in by_transformers(checkpoint).state_dict().items():
        assert torch.equal(found[name], tensor), name


def by_transformers(checkpoint: Path) -> PreTrainedModel:
    with quiet():
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            checkpoint, dtype=torch.float32, quantization_config=FineGrainedFP8Config(dequantize=True)
        )
    return model


def small_gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=288, n_positions=64, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1)
    return GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize(
    ("blocks", "method"),
    [((32, 32), fp8(weight_block_size=[32, 32])), ((1, 32), {"quant_method": "mxfp8"}), (None, fp8())],
)
def test_layers_with_their_inputs_first(blocks: tuple[int, int] | None, method: dict[str, Any], tmp_path: Path) -> None:
    """GPT-2's, one of which is square: transformers reads and writes them in this order."""
    packer = fp8_packer(blocks, by="tensor" if blocks is None else "block")
    model = packed_checkpoint(small_gpt2(), tmp_path, packer, method, inputs_first=True)
    assert_same(tmp_path, model)
    if method["quant_method"] == "fp8" and blocks:
        tokens = torch.arange(2, 40)[None]
        torch.testing.assert_close(load(tmp_path).model(tokens).logits, by_transformers(tmp_path)(tokens).logits)


@pytest.mark.parametrize(
    ("by", "inputs_first", "says"),
    [
        ("flat", True, "stores input units first, without stating whether its scales are per input or per output unit"),
        ("tensor", False, "c_attn.weight has the shape [192, 64] in the checkpoint, but [64, 192] according to"),
    ],
)
def test_layers_with_their_inputs_first_in_another_order_are_refused(
    by: str, inputs_first: bool, says: str, tmp_path: Path
) -> None:
    packed_checkpoint(small_gpt2(), tmp_path, fp8_packer(by=by), fp8(), inputs_first=inputs_first)
    with pytest.raises(UserError) as error:
        open_checkpoint(tmp_path).check()
    assert says in str(error.value)


def test_the_other_8_bit_float_and_scales_of_activations(tmp_path: Path) -> None:
    packer = fp8_packer(by="tensor", dtype=torch.float8_e5m2, more={"activation_scale": torch.tensor(0.1)})
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, packer, fp8(activation_scheme="static")))


def moe() -> Qwen3MoeForCausalLM:
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=288,
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        num_experts=4,
        num_experts_per_tok=2,
        bos_token_id=0,
        eos_token_id=1,
    )
    return Qwen3MoeForCausalLM(config).eval()


@pytest.mark.parametrize("name", ["gate_proj", "up_proj", "down_proj"])
def test_experts_one_by_one(name: str, tmp_path: Path) -> None:
    """As Qwen's own checkpoints store them; transformers merges them after they are unpacked."""
    model = moe()
    model.save_pretrained(tmp_path)
    packed_checkpoint(model, tmp_path, fp8_packer((16, 16)), fp8(weight_block_size=[16, 16]), is_packed=lambda _: False)
    tensors, packer = load_file(tmp_path / "model.safetensors"), fp8_packer((16, 16))
    fused = {True: "gate_up_proj", False: "down_proj"}[name != "down_proj"]
    for key in [key for key in tensors if f"{name}.weight" in key]:
        parts, plain = packer(tuple(tensors[key].shape))
        tensors |= {key.removesuffix("weight") + part: each for part, each in parts.items()}
        layer, expert = int(key.split(".")[2]), int(key.split(".")[5])
        rows = {"gate_proj": slice(0, 24), "up_proj": slice(24, 48), "down_proj": slice(None)}[name]
        getattr(model.model.layers[layer].mlp.experts, fused).data[expert, rows] = plain
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert_same(tmp_path, model)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp8") / "model"
    packed_checkpoint(wide_llama(), folder, fp8_packer((32, 32)), fp8(weight_block_size=[32, 32]))
    return folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda each: each.pop(f"{Q_PROJ}.weight_scale_inv"), "is stored as F8_E4M3, but its scales are missing"),
        (
            lambda each: each.update({f"{Q_PROJ}.weight_scale_inv": torch.ones(3, 2)}),
            "is [64, 64] with scales of shape [3, 2], which are not one for each block of [32, 32], nor one for all",
        ),
        (
            lambda each: each.update({f"{Q_PROJ}.weight_scale": torch.ones(2, 2)}),
            "has a second scale",
        ),
        (
            lambda each: each.update({f"{Q_PROJ}.weight": torch.ones(64, 32, dtype=torch.int8)}),
            "is stored as I8, which is not a part of a known layout",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    change: Callable[[dict[str, Tensor]], Any], says: str, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        open_checkpoint(changed(checkpoint, tmp_path / "model", change)).check()
    assert f"{Q_PROJ} {says}" in str(error.value)


def test_scales_without_a_weight_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = changed(checkpoint, tmp_path / "model", lambda each: each.update({f"{Q_PROJ}.weight": torch.ones(64, 64)}))
    with pytest.raises(UserError, match=rf"the checkpoint holds {Q_PROJ}\.weight_scale_inv, which the model"):
        open_checkpoint(folder).check()
