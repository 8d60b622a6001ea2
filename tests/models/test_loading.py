from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, Phi3Config, Phi3ForCausalLM

from forgetmeter.errors import UserError
from forgetmeter.models.loading import check_loadable, load, skeleton, wrap
from forgetmeter.models.location import Location, locate
from forgetmeter.specs.model_reference import ModelReference


def test_a_folder_loads_as_transformers_loads_it(llama_folder: Path) -> None:
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
    model = skeleton(llama_folder)
    assert all(parameter.device.type == "meta" for parameter in model.parameters())


def test_a_checkpoint_that_lacks_weights_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(llama_folder, broken)
    weights = load_file(broken / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights, such as model\.layers\.1\.mlp\.up_proj\.weight"):
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


def test_fused_projections_are_no_hindrance(tokenizer) -> None:  # type: ignore[no-untyped-def]
    tiny = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    phi3 = Phi3ForCausalLM(Phi3Config(vocab_size=9, pad_token_id=0, **tiny))
    assert wrap(phi3, tokenizer).family == "decoder"


def changed(folder: Path, target: Path, **settings: object) -> Location:
    """A copy of a model's folder with another configuration."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | settings))
    return locate(ModelReference("folder", str(target)))


def test_what_does_not_fit_is_found_without_reading_weights(llama_folder: Path, tmp_path: Path) -> None:
    check_loadable(locate(ModelReference("folder", str(llama_folder))))
    with pytest.raises(UserError, match="lacks 9 weights, such as model.layers.2"):
        check_loadable(changed(llama_folder, tmp_path / "more", num_hidden_layers=3))
    with pytest.raises(UserError, match=r"\[48, 32\] in the checkpoint, and \[50, 32\]"):
        check_loadable(changed(llama_folder, tmp_path / "wide", intermediate_size=50))
    with pytest.raises(UserError, match="config.json cannot be used"):
        check_loadable(changed(llama_folder, tmp_path / "text", hidden_size="many"))
    mute = changed(llama_folder, tmp_path / "mute")
    (tmp_path / "mute" / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="its tokenizer is missing or damaged"):
        check_loadable(mute)


def test_other_families_are_refused(tmp_path: Path) -> None:
    tiny = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    BertForMaskedLM(BertConfig(vocab_size=9, **tiny)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"'bert', which is no decoder|role is not known"):
        load(str(tmp_path))
