"""Checkpoints compressed by what their layers are given, against the same compression in memory."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import make_llama, make_tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    CompressedTensorsConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.compression.applying.compressor import compress
from forgetmeter.config.study import CalibrationSettings
from forgetmeter.errors import UserError
from forgetmeter.models.loading import load
from forgetmeter.scoring.calibration import calibration_calls


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def folder(request, tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("models") / "llama", make_llama()
    # The first block changes its input least, and would not be dropped by position.
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(0.01)
        model.model.layers[0].self_attn.o_proj.weight.mul_(0.01)
    model.to(request.param).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(params=["memory", "disk"])
def room(request, monkeypatch):
    """Where a model is compressed: in memory, or as parts of files if there is too little."""
    if request.param == "disk":
        memory = SimpleNamespace(available=0)
        monkeypatch.setattr("forgetmeter.checkpoints.compressing.psutil.virtual_memory", lambda: memory)
    return request.param


@pytest.mark.parametrize(
    "recipe",
    [
        "wanda:overall:0.5",
        "drop_layers:overall:0.5:by=influence",
        "wanda:head:0.5",
        "sparsegpt:overall:0.5",
        "gptq:overall:3:symmetric=false:act_order=true:group_size=16",
        "l1_unstructured:overall:0.5+lora_recover:overall:steps=5",
        "l1_unstructured:overall:0.2+awq:overall:4:group_size=16",
    ],
)
def test_the_folder_holds_what_a_run_scores(folder, text, recipe, tmp_path, room) -> None:
    written = compress_checkpoint(str(folder), recipe, tmp_path / "out", calibration=text)
    assert written.is_checked
    assert any(note.startswith("Calibrated on 6 sequences of up to 20 tokens of '") for note in written.notes)
    loaded = load(str(folder))
    expected = compress(loaded, recipe, calibration=calibration_calls(loaded, text)).model.state_dict()
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    assert found.keys() == expected.keys()
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=2**-8, atol=0)
    # Nothing else is left, and the weights are as wide as the source's.
    (file,) = (tmp_path / "out").glob("*.safetensors")
    assert not list((tmp_path / "out").glob(".*"))
    dtypes = {str(values.dtype) for values in load_file(file).values()}
    assert dtypes == {str(values.dtype) for values in load_file(folder / "model.safetensors").values()}


@pytest.mark.parametrize("recipe", ["gptq:overall:4", "gptq:overall:3:group_size=16:act_order=true:static_groups=true"])
def test_packed_integers_are_read_back(folder, text, recipe, tmp_path, room) -> None:
    compress_checkpoint(str(folder), recipe, tmp_path / "out", calibration=text, format="compressed-tensors")
    loaded = load(str(folder))
    expected = compress(loaded, recipe, calibration=calibration_calls(loaded, text)).model.state_dict()
    stored = AutoConfig.from_pretrained(tmp_path / "out").quantization_config
    config = CompressedTensorsConfig(**stored | {"dequantize": True})
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32, quantization_config=config)
    found = model.state_dict()
    assert found.keys() == expected.keys()
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=2**-8, atol=0)


@pytest.mark.parametrize(
    ("options", "what"),
    [("symmetric=false", "zero points"), ("act_order=true:group_size=16", "groups of input units that are not neighb")],
)
def test_what_compressed_tensors_cannot_hold_is_refused(folder, text, options, what, tmp_path) -> None:
    recipe = f"gptq:overall:4:{options}"
    with pytest.raises(UserError, match=f"cannot store '{recipe}', which has {what}.*; choose --format gptq or"):
        compress_checkpoint(str(folder), recipe, tmp_path / "out", calibration=text, format="compressed-tensors")


def test_nothing_is_written_without_enough_text(folder, text, tmp_path) -> None:
    with pytest.raises(UserError, match="sequences of 20 tokens need"):
        compress_checkpoint(
            str(folder), "wanda:overall:0.5", tmp_path / "out", calibration=CalibrationSettings(text.text, 10**5, 20)
        )
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module", params=["llama", "mixtral"])
def in_16_bits(request, tmp_path_factory):
    """A checkpoint in bfloat16; transformers merges Mixtral's experts while loading it."""
    folder = tmp_path_factory.mktemp("models") / request.param
    tokenizer = make_tokenizer()
    settings = {"vocab_size": len(tokenizer), "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2}
    settings |= {"num_attention_heads": 6, "num_key_value_heads": 2, "initializer_range": 0.2}
    torch.manual_seed(0)
    if request.param == "llama":
        model = LlamaForCausalLM(LlamaConfig(**settings))
    else:
        model = MixtralForCausalLM(MixtralConfig(num_local_experts=3, **settings))
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "recipe",
    [
        "wanda:attention:0.5",
        "gptq:attention:4",
        "svd:attention:0.3+l1_unstructured:attention:0.5",
        "svd:attention:0.3+round_to_nearest:attention:4",
    ],
)
def test_16_bit_weights_are_compressed_in_float32_and_rounded_once(in_16_bits, text, recipe, tmp_path) -> None:
    written = compress_checkpoint(str(in_16_bits), recipe, tmp_path / "out", calibration=text)
    assert written.is_checked
    loaded = load(str(in_16_bits))
    calls = calibration_calls(loaded, text)
    expected = compress(loaded, recipe, calibration=calls).model.state_dict()
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name].bfloat16().float(), rtol=2**-7, atol=1e-7)
    (file,) = (tmp_path / "out").glob("*.safetensors")
    assert {values.dtype for values in load_file(file).values()} == {torch.bfloat16}


def test_a_cast_to_the_stored_width_changes_nothing_before_a_calibrated_step_either(in_16_bits, text, tmp_path) -> None:
    recipe = "cast:attention:dtype=bfloat16+gptq:attention:4"
    with pytest.raises(UserError, match="'cast:attention:dtype=bfloat16' changes nothing"):
        compress_checkpoint(str(in_16_bits), recipe, tmp_path / "out", calibration=text)
