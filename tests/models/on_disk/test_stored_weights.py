"""Quantized weights are never read as floating-point numbers, nor plain weights as quantized.

Covers ``models.checks.model_checks``.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models.architectures import make_architecture
from safetensors.torch import load_file, save_file
from tiny_models import make_llama, make_tokenizer
from torch import Tensor
from transformers import (
    GptOssConfig,
    GptOssForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
)

from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]
Q_PROJ = "model.layers.0.self_attn.q_proj.weight"


def changed(folder: Path, target: Path, change: Change = dict, **settings: Any) -> Path:
    """Copy a model with changed tensors and configuration."""
    shutil.copytree(folder, target)
    tensors = change(load_file(target / "model.safetensors"))
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | settings))
    return target


def refused(folder: Path) -> str:
    """Return the error of loading, which is the same with and without weights."""
    said = []
    for opens in (lambda: load(str(folder)), lambda: open_checkpoint(str(folder)).check()):
        with pytest.raises(UserError) as error:
            opens()
        said.append(str(error.value))
    assert said[0] == said[1]
    assert "\n" not in said[0]
    return said[0]


def in_float8(tensors: dict[str, Tensor], *, suffix: str) -> dict[str, Tensor]:
    stored = {}
    for name, tensor in tensors.items():
        if not name.endswith("proj.weight"):
            stored[name] = tensor
            continue
        scale = tensor.abs().max() / 448
        stored[name] = (tensor / scale).to(torch.float8_e4m3fn)
        stored[name + suffix] = scale.reshape(1, 1)
    return stored


@pytest.mark.parametrize("suffix", ["_scale_inv", "_scale"])
def test_float8_without_a_configuration_is_refused_by_the_name_of_its_scales(
    llama_folder: Path, tmp_path: Path, suffix: str
) -> None:
    said = refused(changed(llama_folder, tmp_path / "fp8", lambda tensors: in_float8(tensors, suffix=suffix)))
    assert f"weight{suffix}" in said
    assert "F8_E4M3" in said


def test_float8_without_scales_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    def bare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(torch.float8_e5m2) for name, tensor in tensors.items()}

    assert "F8_E5M2" in refused(changed(llama_folder, tmp_path / "bare", bare))


def test_integers_without_a_configuration_are_refused(llama_folder: Path, tmp_path: Path) -> None:
    def rounded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors | {Q_PROJ: (tensors[Q_PROJ] * 100).to(torch.int8)}

    assert f"{Q_PROJ} is stored as I8" in refused(changed(llama_folder, tmp_path / "int8", rounded))


def test_packed_integers_without_a_configuration_are_refused(llama_folder: Path, tmp_path: Path) -> None:
    """As AutoGPTQ wrote them at first, with their settings in another file."""

    def packed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        integers = {Q_PROJ.replace("weight", "qweight"): torch.zeros(4, 32, dtype=torch.int32)}
        return {name: each for name, each in tensors.items() if name != Q_PROJ} | integers

    said = refused(changed(llama_folder, tmp_path / "packed", packed))
    assert "q_proj.qweight is stored as I32 but config.json has no quantization_config;" in said


def test_float8_with_its_configuration_is_dequantized(llama_folder: Path, tmp_path: Path) -> None:
    plain = load_file(llama_folder / "model.safetensors")
    folder = changed(
        llama_folder,
        tmp_path / "fp8",
        lambda tensors: in_float8(tensors, suffix="_scale_inv"),
        quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128]},
    )
    loaded = load(str(folder)).model.state_dict()[Q_PROJ].float()
    assert torch.allclose(loaded, plain[Q_PROJ], atol=0.05 * float(plain[Q_PROJ].abs().max()))


@pytest.mark.parametrize("place", ["quantization_config", "compression_config", "quantization"])
def test_an_unknown_method_is_refused_by_name(llama_folder: Path, tmp_path: Path, place: str) -> None:
    folder = changed(llama_folder, tmp_path / "unknown", **{place: {"quant_method": "superquant", "bits": 4}})
    assert "is quantized by 'superquant', which is not supported" in refused(folder)


def test_a_method_without_a_name_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    folder = changed(llama_folder, tmp_path / "unnamed", quantization_config={"bits": 4})
    assert "but its config.json does not name the method" in refused(folder)


@pytest.mark.parametrize("method", ["fp8", "gptq", "awq", "compressed-tensors", "hqq", "quanto", "torchao", "mxfp4"])
def test_plain_weights_under_a_quantized_configuration_are_refused(
    llama_folder: Path, tmp_path: Path, method: str
) -> None:
    config = {"quant_method": method, "bits": 4, "group_size": 32, "config_groups": {}, "format": "dense"}
    folder = changed(llama_folder, tmp_path / "plain", quantization_config=config)
    assert f"says that it is quantized ({method}), but its weights are plain" in refused(folder)


@pytest.mark.parametrize(
    "config",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        {"quant_method": "hqq", "quant_config": {}},
    ],
)
def test_a_missing_library_is_named_in_one_line(llama_folder: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    """The tests install none of these libraries."""

    def packed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors | {Q_PROJ.replace("weight", "qweight"): torch.zeros(4, 32, dtype=torch.int32)}

    said = refused(changed(llama_folder, tmp_path / "packed", packed, quantization_config=config))
    assert "needs a library or device that is missing" in said or "cannot be loaded" in said


@pytest.mark.parametrize(
    "left",
    ["weight_scale", "weight_zero_point", "bias", "qweight", "weight_scale_2", "lora_A", "lora_A.default.weight"],
)
def test_extra_tensors_of_a_layer_are_not_ignored(llama_folder: Path, tmp_path: Path, left: str) -> None:
    name = Q_PROJ.replace("weight", left)
    folder = changed(llama_folder, tmp_path / "more", lambda tensors: tensors | {name: torch.ones(32)})
    assert f"the checkpoint holds {name}" in refused(folder)


@pytest.mark.parametrize(
    "left", ["self_attn.q_norm.weight", "post_feedforward_layernorm.weight", "self_attn.q_proj_scale", "mixer.weight"]
)
def test_extra_tensors_of_a_block_are_not_ignored(llama_folder: Path, tmp_path: Path, left: str) -> None:
    name = f"model.layers.0.{left}"
    folder = changed(llama_folder, tmp_path / "more", lambda tensors: tensors | {name: torch.ones(32)})
    assert f"the checkpoint holds {name}" in refused(folder)


def test_integers_as_norms_are_refused(llama_folder: Path, tmp_path: Path) -> None:
    norm = "model.layers.0.input_layernorm.weight"

    def rounded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors | {norm: (tensors[norm] * 50).to(torch.int8)}

    assert f"{norm} is stored as I8" in refused(changed(llama_folder, tmp_path / "int8", rounded))


def saved(model: PreTrainedModel, folder: Path) -> Path:
    model.resize_token_embeddings(len(make_tokenizer()))
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def make_gpt_oss() -> PreTrainedModel:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2}
    return GptOssForCausalLM(GptOssConfig(**sizes, **heads, vocab_size=61, pad_token_id=None))


def make_mamba() -> PreTrainedModel:
    return MambaForCausalLM(MambaConfig(vocab_size=61, hidden_size=32, state_size=8, num_hidden_layers=1))


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (make_gpt_oss, "experts.gate_up_proj"),
        (make_gpt_oss, "experts.down_proj_bias"),
        (make_gpt_oss, "self_attn.sinks"),
        (make_mamba, "A_log"),
        (make_mamba, "D"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
def test_integers_in_the_place_of_floats_are_refused(
    tmp_path: Path, make: Callable[[], PreTrainedModel], place: str, dtype: torch.dtype
) -> None:
    def rounded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: (tensor * 50).to(dtype) if name.endswith(place) else tensor for name, tensor in tensors.items()}

    said = refused(changed(saved(make(), tmp_path / "plain"), tmp_path / "rounded", rounded))
    assert re.search(rf"{place} is stored as (I8|I64|BOOL) but config\.json has no quantization_config", said)


@pytest.mark.parametrize("architecture", ["mixtral", "qwen3_moe"])
@pytest.mark.parametrize("numbers", [(0, 1, 2, 5), (1, 2, 3, 4)])
def test_experts_that_are_numbered_with_gaps_are_refused(
    tmp_path: Path, architecture: str, numbers: tuple[int, ...]
) -> None:
    def renumbered(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            re.sub(r"experts\.(\d+)", lambda found: f"experts.{numbers[int(found[1])]}", name): tensor
            for name, tensor in tensors.items()
        }

    said = refused(changed(saved(make_architecture(architecture), tmp_path / "plain"), tmp_path / "gaps", renumbered))
    assert f"experts.{numbers[-1]}." in said
    assert f"lacks number {min({0, 1, 2, 3} - {*numbers})}" in said


def test_a_tokenizer_that_drops_merges_at_random_no_longer_does(llama_folder: Path, tmp_path: Path) -> None:
    folder = changed(llama_folder, tmp_path / "dropout")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["dropout"] = 0.5
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    ids = {tuple(load(str(folder)).tokenizer("the inn in the thing")["input_ids"]) for _ in range(5)}
    assert ids == {tuple(load(str(llama_folder)).tokenizer("the inn in the thing")["input_ids"])}


def test_blocks_beyond_the_configurations_count_are_not_ignored(llama_folder: Path, tmp_path: Path) -> None:
    assert "the checkpoint holds model.layers.1." in refused(
        changed(llama_folder, tmp_path / "fewer", num_hidden_layers=1)
    )


def test_the_layers_of_another_head_are_ignored(llama_folder: Path, tmp_path: Path) -> None:
    folder = changed(llama_folder, tmp_path / "more", lambda tensors: tensors | {"score.weight": torch.ones(2, 32)})
    assert load(str(folder)).family == "decoder"


@pytest.mark.parametrize(
    "left",
    [
        "model.embed_positions.weight",
        "model.embed_layernorm.weight",
        "embed_positions.weight",
        "model.ln_f.weight",
        "model.scale",
        "final_logits_bias",
        "bias",
        "model.bias",
        "lm_head_norm.weight",
        "model.layers.0.score.weight",
    ],
)
def test_tensors_between_text_and_logits_are_not_ignored(llama_folder: Path, tmp_path: Path, left: str) -> None:
    folder = changed(llama_folder, tmp_path / "more", lambda tensors: tensors | {left: torch.ones(32)})
    assert f"the checkpoint holds {left}" in refused(folder)


@pytest.mark.parametrize("left", ["head.weight", "decoder_head.weight", "model.head.weight", "score.weight"])
def test_a_head_of_its_own_is_not_replaced_by_the_embedding(tmp_path: Path, left: str) -> None:
    for is_tied in (True, False):
        folder = tmp_path / f"tied-{is_tied}"
        model = make_llama(tied=is_tied)
        model.save_pretrained(folder)
        make_tokenizer().save_pretrained(folder)
        head = torch.randn_like(model.lm_head.weight)
        found = changed(folder, tmp_path / f"more-{is_tied}", lambda tensors, head=head: tensors | {left: head})
        if is_tied:
            assert f"the checkpoint holds {left}" in refused(found)
        else:
            assert load(str(found)).family == "decoder"
    aside = changed(tmp_path / "tied-True", tmp_path / "mtp", lambda tensors: tensors | {"mtp.head.weight": head})
    assert load(str(aside)).family == "decoder"


@pytest.mark.parametrize(
    "left",
    [
        "v_head.summary.weight",
        "model.pooler.dense.weight",
        "cls.seq_relationship.weight",
        "model.vision_tower.layers.0.norm.weight",
        "multi_modal_projector.linear_1.weight",
        "mtp.layers.0.norm.weight",
    ],
)
def test_tensors_aside_of_text_and_logits_are_ignored(llama_folder: Path, tmp_path: Path, left: str) -> None:
    folder = changed(llama_folder, tmp_path / "more", lambda tensors: tensors | {left: torch.ones(32)})
    assert load(str(folder)).family == "decoder"


def test_blocks_that_predict_further_tokens_are_left_aside(llama_folder: Path, tmp_path: Path) -> None:
    """As in DeepSeek-V3 and GLM-4, where they follow the last block."""
    blocks = json.loads((llama_folder / "config.json").read_text())["num_hidden_layers"]
    more = {f"model.layers.{blocks}.{name}.weight": torch.ones(32) for name in ("eh_proj", "self_attn.q_proj")}
    folder = changed(llama_folder, tmp_path / "more", lambda tensors: tensors | more)
    assert "the checkpoint holds model.layers" in refused(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_nextn_predict_layers": 1}))
    assert load(str(folder)).family == "decoder"


def test_a_tokenizer_of_another_model_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    folder = changed(llama_folder, tmp_path / "more")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    size = len(tokenizer["model"]["vocab"])
    tokenizer["added_tokens"].append(
        {"id": size, "content": "Paris", "special": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "single_word": False}
    )
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert f"1 token beyond the model's {size} embeddings, such as 'Paris' ({size})" in refused(folder)
    # Special tokens, such as Gemma 3's image token, may be out of range.
    tokenizer["added_tokens"][-1]["special"] = True
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert load(str(folder)).family == "decoder"


def test_a_duplicate_tensor_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    def doubled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors | {Q_PROJ.removeprefix("model."): -tensors[Q_PROJ]}

    assert "twice" in refused(changed(llama_folder, tmp_path / "doubled", doubled))


def test_a_tensor_in_two_files_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    folder = changed(llama_folder, tmp_path / "shards")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "a.safetensors", metadata={"format": "pt"})
    save_file({Q_PROJ: -tensors[Q_PROJ]}, folder / "b.safetensors", metadata={"format": "pt"})
    places = dict.fromkeys(tensors, "a.safetensors") | {"lm_head.weight": "b.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert f"{Q_PROJ} in a.safetensors and b.safetensors" in refused(folder)


def test_a_duplicate_expert_is_refused(tmp_path: Path) -> None:
    make_architecture("mixtral").save_pretrained(tmp_path / "moe")
    tensors = load_file(tmp_path / "moe" / "model.safetensors")
    make_tokenizer().save_pretrained(tmp_path / "moe")
    expert = next(name for name in tensors if "experts" in name)

    def doubled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors | {expert.removeprefix("model."): -tensors[expert]}

    # transformers itself notices the extra experts.
    assert "cannot be loaded" in refused(changed(tmp_path / "moe", tmp_path / "doubled", doubled))


def test_float64_is_plain(llama_folder: Path, tmp_path: Path) -> None:
    def doubled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.double() for name, tensor in tensors.items()}

    found = load(str(changed(llama_folder, tmp_path / "double", doubled))).model.state_dict()
    for name, tensor in load(str(llama_folder)).model.state_dict().items():
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("method", [["fp8"], {"fp8": True}])
def test_a_quantization_method_that_is_no_name_is_refused(llama_folder: Path, tmp_path: Path, method: Any) -> None:
    folder = changed(llama_folder, tmp_path / "odd", quantization_config={"quant_method": method})
    assert f"is quantized by '{method}', which is not supported" in refused(folder)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors.index.json", "tokenizer_config.json"])
def test_json_nested_too_deeply_is_refused(llama_folder: Path, tmp_path: Path, file: str) -> None:
    folder = changed(llama_folder, tmp_path / "deep")
    if file.endswith(".index.json"):
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / file).write_text("[" * 100_000)
    said = refused(folder)
    assert said.startswith(f"model '{folder}': ")
    assert "recursion" in said or "damaged" in said


@pytest.mark.parametrize("kind", ["folder", "broken link"])
def test_weights_that_are_no_file_are_refused(llama_folder: Path, tmp_path: Path, kind: str) -> None:
    folder = changed(llama_folder, tmp_path / "none")
    weights = folder / "model.safetensors"
    weights.unlink()
    weights.mkdir() if kind == "folder" else weights.symlink_to(tmp_path / "missing")
    assert "its safetensors are truncated or damaged" in refused(folder)
