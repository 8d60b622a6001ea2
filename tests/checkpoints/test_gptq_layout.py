"""Checkpoints in GPTQ's layout hold the weights that a run scores.

Covers ``checkpoints.storage`` and ``checkpoints.formats``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints.reloading import assert_refused, in_memory
from safetensors.torch import load_file
from tiny_models import make_llama, make_tokenizer
from torch import Tensor
from transformers import LlamaForCausalLM

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.checkpoints.predicted_size import SizePredictor
from forgetmeter.compression.applying.compressor import compress
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load
from forgetmeter.scoring.calibration import calibration_calls
from forgetmeter.specs.recipe import parse_recipe

Save = Callable[..., Path]


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def read_bits(words: list[int], bits: int, number: int) -> list[int]:
    """Read integers of some bits from 32-bit words, bit by bit, lowest first."""
    stream = "".join(f"{word & 0xFFFFFFFF:032b}"[::-1] for word in words)
    return [int(stream[at : at + bits][::-1], 2) for at in range(0, bits * number, bits)]


def dequantized(tensors: dict[str, Tensor], layer: str, bits: int, offset: int) -> Tensor:
    """Return a layer's weight, read by a loop over its bits."""
    qweight, qzeros, scales, g_idx = (tensors[f"{layer}.{part}"] for part in ("qweight", "qzeros", "scales", "g_idx"))
    outputs, inputs = scales.shape[1], len(g_idx)
    zeros = torch.tensor([read_bits(row.tolist(), bits, outputs) for row in qzeros]) + offset
    rows = torch.tensor([read_bits(column.tolist(), bits, inputs) for column in qweight.T])
    return (rows - zeros[g_idx.long()].T) * scales[g_idx.long()].T


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = make_llama().config
    # Three bits are packed 32 at a time.
    config.num_key_value_heads, config.intermediate_size = config.num_attention_heads, 64
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    make_tokenizer().save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


@pytest.mark.parametrize(
    ("recipe", "bits", "form", "settings"),
    [
        ("round_to_nearest:overall:4", 4, "gptq", (-1, False, True)),
        ("l1_unstructured:overall:0.5+round_to_nearest:overall:8:group_size=8:clip=mse", 8, "gptq", (8, False, True)),
        ("gptq:overall:3", 3, "gptq", (-1, False, True)),
        ("gptq:overall:2:act_order=true:group_size=16", 2, "gptq", (16, True, True)),
        ("gptq:overall:4:act_order=true:group_size=16:static_groups=true", 4, "gptq", (16, False, True)),
        ("gptq:overall:4:symmetric=false:group_size=8", 4, "gptq_v2", (8, False, False)),
        ("gptq:overall:3:symmetric=false:act_order=true:group_size=16", 3, "gptq_v2", (16, True, False)),
        ("drop_layers:layers[0]/overall:1+round_to_nearest:overall:4", 4, "gptq", (-1, False, True)),
    ],
)
def test_each_layer_holds_the_weight_that_a_run_scores(folder, text, tmp_path, recipe, bits, form, settings) -> None:
    written = compress_checkpoint(str(folder), recipe, tmp_path / "out", calibration=text, format="gptq")
    assert written.is_checked
    config = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    assert (config["quant_method"], config["checkpoint_format"], config["bits"]) == ("gptq", form, bits)
    assert tuple(config[name] for name in ("group_size", "desc_act", "sym")) == settings
    loaded = load(str(folder))
    expected = compress(loaded, recipe, calibration=calibration_calls(loaded, text)).model.state_dict()
    tensors = tensors_of(tmp_path / "out")
    layers = [name.removesuffix(".qweight") for name in tensors if name.endswith(".qweight")]
    assert {name for name in expected if name.endswith("proj.weight")} == {f"{name}.weight" for name in layers}
    for layer in layers:
        found = dequantized(tensors, layer, bits, 1 if form == "gptq" else 0)
        torch.testing.assert_close(found, expected[f"{layer}.weight"], rtol=1e-6, atol=1e-7)
    predicted = SizePredictor(open_checkpoint(str(folder))).of(parse_recipe(recipe))
    if predicted.format == "gptq":
        assert predicted.bytes == written.bytes_after


def test_a_zero_point_may_be_zero(folder, text, tmp_path) -> None:
    """Version 1 of the layout could not store it without ambiguity."""
    model = load(str(folder)).model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "proj" in name:
                parameter.abs_()
    model.save_pretrained(folder)
    compress_checkpoint(
        str(folder), "gptq:overall:4:symmetric=false", tmp_path / "out", calibration=text, format="gptq"
    )
    tensors = tensors_of(tmp_path / "out")
    assert any(bool((tensor == 0).all()) for name, tensor in tensors.items() if name.endswith("qzeros"))
    recipe = "gptq:overall:4:symmetric=false"
    loaded, reread = load(str(folder)), load(str(tmp_path / "out")).model.state_dict()
    expected = compress(loaded, recipe, calibration=calibration_calls(loaded, text)).model.state_dict()
    for name, values in expected.items():
        torch.testing.assert_close(reread[name], values, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["bert", "opt", "bart"])
def test_other_architectures_are_read_back(checkpoint: Save, tmp_path: Path, name: str) -> None:
    source = checkpoint(name)
    assert compress_checkpoint(
        str(source), "round_to_nearest:overall:4", tmp_path / "out", format="gptq", check=True
    ).is_checked
    expected = in_memory(source, "round_to_nearest:overall:4").state_dict()
    for key, values in open_checkpoint(str(tmp_path / "out")).model(dtype=torch.float32).state_dict().items():
        torch.testing.assert_close(values, expected[key], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "recipe", "says"),
    [
        ("llama", "round_to_nearest:overall:5", "stores 2, 3, 4 and 8 bits, not 5; choose --format compressed-tensors"),
        ("llama", "round_to_nearest:attention:4", "and 'round_to_nearest:attention:4' leaves model.layers.0.mlp.gate_"),
        ("llama", "round_to_nearest:layers[0]/overall:4", "leaves model.layers.1.self_attn.q_proj as it is"),
        ("llama", "round_to_nearest:head:4", "stores layers of blocks, and lm_head.weight is not part of any"),
        (
            "llama",
            "round_to_nearest:attention:4+gptq:feed_forward:4:symmetric=false",
            "needs the same bits, group size and zero points in all layers",
        ),
        ("llama", "round_to_nearest:attention:4+round_to_nearest:feed_forward:8", "choose --format compressed-tensors"),
        ("llama", "nf4:overall:group_size=8", "supports gptq and round_to_nearest only, not 'nf4"),
        ("llama", "l1_unstructured:overall:0.5", "--format gptq stores low-bit weights, and"),
        (
            "llama",
            "gptq:overall:5:act_order=true:group_size=8",
            "stores 2, 3, 4 and 8 bits, not 5; choose --format dense",
        ),
        ("gpt2", "round_to_nearest:overall:4", "--format gptq supports linear layers only"),
        ("t5", "round_to_nearest:overall:4", "--format gptq is not supported for models of type t5"),
        ("mixtral", "round_to_nearest:attention:4", "--format gptq is not supported for this architecture"),
    ],
)
def test_what_it_cannot_hold_is_refused(checkpoint: Save, tmp_path: Path, name: str, recipe: str, says: str) -> None:
    assert_refused(checkpoint(name), recipe, tmp_path / "out", format="gptq", says=says)


def test_shapes_must_fill_whole_words(tmp_path: Path) -> None:
    config = make_llama().config
    config.intermediate_size = 36
    LlamaForCausalLM(config).save_pretrained(tmp_path / "source")
    with pytest.raises(UserError, match=r"8 weights together, and not every dimension of .*, \[36, \d+\], is"):
        compress_checkpoint(str(tmp_path / "source"), "round_to_nearest:overall:4", tmp_path / "out", format="gptq")
