"""Checkpoints compressed by what their layers are given, against the same compression in memory."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import make_llama, make_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, CompressedTensorsConfig

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
