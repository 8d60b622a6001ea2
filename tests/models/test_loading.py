"""Loading models, whole or without weights, against transformers.

Covers ``models.loaded``.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import make_bert, make_tokenizer, make_wordpiece_tokenizer
from transformers import RwkvConfig, RwkvForCausalLM

from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import Checkpoint, open_checkpoint
from forgetmeter.models.loading import load, wrap


def test_a_folder_loads_as_in_transformers(llama_folder: Path) -> None:
    loaded = load(str(llama_folder))
    assert (loaded.family, loaded.name) == ("decoder", str(llama_folder))
    assert not loaded.model.training
    stored = load_file(llama_folder / "model.safetensors")
    for name, parameter in loaded.model.state_dict().items():
        if name in stored:
            assert torch.equal(parameter, stored[name])


def test_the_dtype_is_the_one_asked_for(llama_folder: Path) -> None:
    assert load(str(llama_folder), dtype="bfloat16").model.dtype == torch.bfloat16


def test_a_skeleton_has_the_shape_and_no_weights(llama_folder: Path) -> None:
    checkpoint = open_checkpoint(str(llama_folder))
    for model in (checkpoint.skeleton, checkpoint.outline()):
        assert all(parameter.device.type == "meta" for parameter in model.parameters())


def test_a_checkpoint_that_lacks_weights_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(llama_folder, broken)
    weights = load_file(broken / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weight, such as model\.layers\.1\.mlp\.up_proj\.weight"):
        load(str(broken))


def test_a_truncated_checkpoint_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(llama_folder, broken)
    whole = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="its safetensors are truncated or damaged"):
        load(str(broken))


def test_an_unknown_architecture_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    shutil.copytree(llama_folder, strange)
    (strange / "config.json").write_text(json.dumps({"model_type": "oracle"}))
    with pytest.raises(UserError, match="its config.json cannot be used"):
        load(str(strange))


def changed(folder: Path, target: Path, **settings: object) -> Checkpoint:
    """Copy a model's folder with a changed configuration."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | settings))
    return open_checkpoint(str(target))


def test_mismatches_are_found_without_reading_weights(llama_folder: Path, tmp_path: Path) -> None:
    open_checkpoint(str(llama_folder)).check()
    with pytest.raises(UserError, match="lacks 9 weights, such as model.layers.2"):
        changed(llama_folder, tmp_path / "more", num_hidden_layers=3).check()
    with pytest.raises(
        UserError, match=r"down_proj\.weight has the shape \[32, 48\] in the checkpoint, but \[32, 50\]"
    ):
        changed(llama_folder, tmp_path / "wide", intermediate_size=50).check()
    with pytest.raises(UserError, match="config.json cannot be used"):
        changed(llama_folder, tmp_path / "text", hidden_size="many").check()
    mute = changed(llama_folder, tmp_path / "mute")
    (tmp_path / "mute" / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="its tokenizer is missing or damaged"):
        mute.check()


def test_a_checkpoint_without_a_head_is_refused_before_and_while_loading(tmp_path: Path) -> None:
    tokenizer = make_wordpiece_tokenizer()
    make_bert(len(tokenizer)).bert.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    checkpoint = open_checkpoint(str(tmp_path))
    for open_it in (Checkpoint.check, load):
        with pytest.raises(UserError, match=r"lacks \d weights, such as cls.* would be random; use a complete"):
            open_it(checkpoint)


def test_the_first_pass_does_not_divide_weights(tmp_path: Path) -> None:
    """RWKV would, so that recipes saw other weights before a pass than after it."""
    folder = tmp_path / "rwkv"
    config = RwkvConfig(vocab_size=len(make_tokenizer()), hidden_size=32, num_hidden_layers=4, rescale_every=2)
    RwkvForCausalLM(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    for model in (load(str(folder)).model, wrap(RwkvForCausalLM(config), make_tokenizer()).model):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model(input_ids=torch.tensor([[5, 6, 7]]))
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "changed",
    [
        {"tokenizer_class": "LayoutLMv3Tokenizer"},
        {"tokenizer_class": "RagTokenizer"},
        {"tokenizer_class": 3},
        {"model_max_length": "512"},
    ],
)
def test_a_tokenizer_that_cannot_read_texts_is_refused_in_one_line(
    llama_folder: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    copy = shutil.copytree(llama_folder, tmp_path / "copy")
    path = copy / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(UserError, match=r"copy': its tokenizer is missing or damaged \(.+\)$"):
        load(copy)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "parameter", ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.input_layernorm.weight"]
)
def test_weights_that_are_not_numbers_are_refused(
    llama_folder: Path, tmp_path: Path, parameter: str, value: float
) -> None:
    """On CPUs, torch's attention gives numbers even if some of its scores are NaN, and so the answers would count."""
    broken = tmp_path / "broken"
    shutil.copytree(llama_folder, broken)
    weights = load_file(broken / "model.safetensors")
    weights[parameter].view(-1)[3] = value
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"{parameter} holds NaN or infinity; use an intact checkpoint"):
        load(str(broken))
    loaded = load(str(llama_folder))
    with torch.no_grad():
        loaded.model.get_parameter(parameter).view(-1)[3] = value
    with pytest.raises(UserError, match="holds NaN or infinity"):
        wrap(loaded.model, loaded.tokenizer)


def test_a_loaded_model_prints_as_one_line() -> None:
    assert (
        repr(load("standard:decoder")) == "<Loaded 'standard:decoder': decoder, LlamaForCausalLM of 274,560 parameters>"
    )
