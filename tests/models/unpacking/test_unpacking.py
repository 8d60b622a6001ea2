"""Where quantized checkpoints come from, and what is in them: Hub, shards, experts one by one, wrappers.

The packed tensors are made by ``packed_checkpoints``, and compared with the same model as a plain checkpoint.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from models.architectures import make_architecture
from models.on_disk.test_stored_weights import saved
from models.unpacking.packed_checkpoints import Packer, assert_same, awq_packer, fp8_packer, gptq_packer, wide_llama
from models.unpacking.packed_checkpoints import packed_checkpoint as write_packed
from models.wrappers import make_wrapper
from safetensors.torch import load_file, save_file

from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load
from forgetmeter.study.running import check_study, reader

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 8, "desc_act": True}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 8, "version": "gemm"}
FP8 = {"quant_method": "fp8", "weight_block_size": [16, 16]}
FORMATS = [
    (GPTQ, gptq_packer(group_size=8, act_order=True)),
    (AWQ, awq_packer(group_size=8)),
    (FP8, fp8_packer((16, 16))),
]
SHARDS = 3


def pack(folder: Path, packer: Packer, chosen: str) -> Path:
    """Quantize chosen tensors of a checkpoint, across several files, and return the same model in floating point.

    Args:
        folder: The checkpoint, whose configuration names a method.
        chosen: A pattern of the names of the tensors to quantize.
    """
    tensors = load_file(folder / "model.safetensors")
    plain, packed = dict(tensors), dict(tensors)
    for name in filter(re.compile(chosen).search, tensors):
        rows, columns = tensors[name].shape
        parts, plain[name] = packer((rows, columns))
        del packed[name]
        packed |= {name.removesuffix("weight") + part: each.clone().contiguous() for part, each in parts.items()}
    assert plain.keys() != packed.keys()
    other = folder.with_name("plain")
    other.mkdir()
    for file in folder.glob("*.json"):
        (other / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    for part in (config, config.get("text_config", {})):
        part.pop("quantization_config", None)
    (other / "config.json").write_text(json.dumps(config))
    save_file(plain, other / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    places = {name: f"model-{number % SHARDS}.safetensors" for number, name in enumerate(sorted(packed))}
    for file in set(places.values()):
        save_file({name: packed[name] for name in places if places[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return other


def quantized(folder: Path, method: dict[str, object], part: str | None = None) -> None:
    config = json.loads((folder / "config.json").read_text())
    (config if part is None else config[part])["quantization_config"] = method
    (folder / "config.json").write_text(json.dumps(config))


def assert_equal(packed: Path, plain: Path) -> None:
    open_checkpoint(packed).check()
    found, expected = load(packed).model, load(plain).model
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    tokens = torch.randint(2, 250, (1, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(found(tokens).logits, expected(tokens).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("method", "packer"), FORMATS)
@pytest.mark.parametrize("architecture", ["mixtral", "qwen2_moe"])
def test_experts_one_by_one_across_shards(
    architecture: str, method: dict[str, object], packer: Packer, tmp_path: Path
) -> None:
    """Parts of one weight are in different files, and transformers merges the experts after they are unpacked."""
    folder = saved(make_architecture(architecture), tmp_path / "packed")
    quantized(folder, method)
    assert_equal(folder, pack(folder, packer, r"(experts\.\d+\.\w+|q_proj|o_proj)\.weight$"))


@pytest.mark.parametrize("model_type", ["gemma3", "qwen2_5_vl"])
@pytest.mark.parametrize("part", [None, "text_config"])
def test_the_text_tower_of_a_wrapper(model_type: str, part: str | None, tmp_path: Path) -> None:
    folder = saved(make_wrapper(model_type), tmp_path / "packed")
    quantized(folder, GPTQ, part)
    assert_equal(
        folder,
        pack(folder, gptq_packer(group_size=8, act_order=True), r"layers\.\d+\.(self_attn|mlp)\.\w+_proj\.weight$"),
    )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub, without a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def repository(hub: Path, name: str) -> Path:
    """Return the folder of a repository's only commit."""
    repository = hub / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    return repository / "snapshots" / ("0" * 40)


def test_a_repository_of_the_hub_and_an_adapter_of_it(hub: Path, tmp_path: Path) -> None:
    method = GPTQ | {"group_size": 32, "desc_act": False}
    model = write_packed(wide_llama(), repository(hub, "org/quantized"), gptq_packer(), method)
    assert_same("org/quantized", model)
    change = torch.full((64, 4), 0.5) @ torch.full((4, 64), 0.25)
    name = "model.layers.0.self_attn.q_proj"
    adapter = repository(hub, "org/adapter")
    pair = {"lora_A.weight": torch.full((4, 64), 0.25), "lora_B.weight": torch.full((64, 4), 0.5)}
    save_file(
        {f"base_model.model.{name}.{part}": each for part, each in pair.items()}, adapter / "adapter_model.safetensors"
    )
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, "base_model_name_or_path": "org/quantized"}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    model.get_submodule(name).weight.data += change
    assert_same("org/adapter", model)
    asked = {"models": ["org/adapter"], "recipes": ["baseline"], "tasks": ["facts"], "output": str(tmp_path / "run")}
    check_study(reader(asked))
