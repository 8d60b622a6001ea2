"""LoRA adapters are merged into the model that they change, and then are a model like any other.

The expected weights are computed here, by the definition of LoRA.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from models.unpacking.packed_checkpoints import assert_same, gptq_packer, packed_checkpoint, wide_llama
from models.wrappers import make_wrapper
from safetensors.torch import load_file, save_file
from tiny_models import make_llama, make_tokenizer
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, Qwen3MoeConfig, Qwen3MoeForCausalLM
from transformers.pytorch_utils import Conv1D

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load

RANK, ALPHA = 4, 6
PRUNE = "l1_unstructured:overall:0.5"
MODULE = "model.layers.0.self_attn.q_proj"
Q_PROJ = "base_model.model.model.layers.0.self_attn.q_proj"


def settings(base: str | Path, **more: Any) -> dict[str, Any]:
    """Return what peft 0.21 writes, in part."""
    return {
        "peft_type": "LORA",
        "base_model_name_or_path": str(base),
        "bias": "none",
        "r": RANK,
        "lora_alpha": ALPHA,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "init_lora_weights": True,
        "megatron_core": "megatron.core",
        "fan_in_fan_out": False,
    } | more


def write_adapter(
    folder: Path,
    model: PreTrainedModel,
    config: dict[str, Any],
    ranks: dict[str, tuple[int, float]],
) -> None:
    """Write a random adapter, and change the model itself in the same way.

    Args:
        ranks: Rank and scaling by the ending of a layer's name.
    """
    config = {"target_modules": list(ranks), **config}
    random = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        for ending, (rank, scaling) in ranks.items():
            if name.endswith(ending):
                inputs_first = isinstance(module, Conv1D)
                outputs, inputs = module.weight.shape[:: -1 if inputs_first else 1]
                before = torch.randn(rank, inputs, generator=random) / 8
                after = torch.randn(outputs, rank, generator=random) / 8
                change = scaling * torch.einsum("or,ri->oi", after.double(), before.double())
                module.weight.data = (module.weight.double() + (change.T if inputs_first else change)).float()
                tensors |= {f"base_model.model.{name}.lora_A.weight": before}
                tensors |= {f"base_model.model.{name}.lora_B.weight": after}
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(config))


def assert_close(folder: Path | str, expected: PreTrainedModel) -> None:
    found = load(folder).model
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=1e-7, atol=1e-8)
    tokens = torch.randint(2, 250, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(found(tokens).logits, expected(tokens).logits, rtol=1e-5, atol=1e-5)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    make_llama().save_pretrained(tmp_path / "base")
    make_tokenizer().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


BOTH = {"q_proj": (RANK, ALPHA / RANK), "v_proj": (RANK, ALPHA / RANK)}


@pytest.mark.parametrize("named", ["absolute", "../base", "base"])
def test_an_adapter_is_merged(named: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its base is named by a path relative to the adapter's folder or to the current one."""
    monkeypatch.chdir(tmp_path)
    model = make_llama()
    write_adapter(tmp_path / "adapter", model, settings(base if named == "absolute" else named), BOTH)
    assert_close("./adapter", model)
    checkpoint = open_checkpoint("./adapter")
    assert (checkpoint.reading, checkpoint.packed, checkpoint.is_converted) == ("plain", None, True)


@pytest.mark.parametrize(
    ("more", "ranks"),
    [
        ({"use_rslora": True}, {"q_proj": (RANK, ALPHA / math.sqrt(RANK))}),
        ({"rank_pattern": {"q_proj": 2}}, {"q_proj": (2, ALPHA / 2), "v_proj": (RANK, ALPHA / RANK)}),
        (
            {"rank_pattern": {r"layers\.0\..*": 3}, "alpha_pattern": {"v_proj": 8}},
            {
                "0.self_attn.q_proj": (3, ALPHA / 3),
                "1.self_attn.q_proj": (RANK, ALPHA / RANK),
                "0.self_attn.v_proj": (3, 8 / 3),
                "1.self_attn.v_proj": (RANK, 8 / RANK),
            },
        ),
    ],
)
def test_scalings_and_patterns(
    more: dict[str, Any], ranks: dict[str, tuple[int, float]], base: Path, tmp_path: Path
) -> None:
    model = make_llama()
    write_adapter(tmp_path / "adapter", model, settings(base, **more), ranks)
    assert_close(tmp_path / "adapter", model)


def test_layers_may_have_the_names_of_the_checkpoint(tmp_path: Path) -> None:
    """As before transformers 4.52, which put the text model of Llava under another name."""
    model = make_wrapper("llava")
    model.save_pretrained(tmp_path / "base")
    make_tokenizer().save_pretrained(tmp_path / "base")
    layer = "language_model.layers.0.self_attn.q_proj"
    write_adapter(tmp_path / "adapter", model, settings(tmp_path / "base"), {layer: (RANK, ALPHA / RANK)})
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    old = {
        name.replace("model.language_model.", "language_model.model."): tensor
        for name, tensor in load_file(file).items()
    }
    assert "base_model.model.language_model.model.layers.0.self_attn.q_proj.lora_A.weight" in old
    save_file(old, file, metadata={"format": "pt"})
    assert_close(tmp_path / "adapter", model)


@pytest.mark.parametrize("stored", ["lm_head.weight", "model.embed_tokens.weight"])
def test_a_change_of_a_tied_head_alone_is_refused(stored: str, tmp_path: Path) -> None:
    """Merged into the only weight that is stored, it would change the embedding as well."""
    base, model = tmp_path / "base", make_llama(tied=True)
    model.save_pretrained(base)
    make_tokenizer().save_pretrained(base)
    tensors = load_file(base / "model.safetensors")
    tensors[stored] = tensors.pop("model.embed_tokens.weight")
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    write_adapter(tmp_path / "adapter", make_llama(), settings(base), {"lm_head": (RANK, ALPHA / RANK)})
    with pytest.raises(UserError, match="the adapter changes lm_head, for which its base model stores no separate"):
        load(tmp_path / "adapter")


def test_layers_with_their_inputs_first(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=288, n_positions=64, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1)
    model = GPT2LMHeadModel(config).eval()
    model.save_pretrained(tmp_path / "base")
    make_tokenizer().save_pretrained(tmp_path / "base")
    ranks = {"attn.c_attn": (RANK, ALPHA / RANK), "attn.c_proj": (RANK, ALPHA / RANK)}
    write_adapter(tmp_path / "adapter", model, settings(tmp_path / "base", fan_in_fan_out=True), ranks)
    assert_close(tmp_path / "adapter", model)


def test_an_adapter_of_a_quantized_model(tmp_path: Path) -> None:
    method = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False}
    model = packed_checkpoint(wide_llama(), tmp_path / "base", gptq_packer(), method)
    assert_same(tmp_path / "base", model)
    write_adapter(tmp_path / "adapter", model, settings("../base"), BOTH)
    assert_close(tmp_path / "adapter", model)
    found = open_checkpoint(tmp_path / "adapter").packed
    assert found is not None
    files = [tmp_path / "base" / "model.safetensors", tmp_path / "adapter" / "adapter_model.safetensors"]
    assert (found.format, found.bytes) == ("gptq, 4 bits, groups of 32", sum(file.stat().st_size for file in files))


def test_recipes_apply_and_an_own_tokenizer_is_used(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter", make_llama(), settings("../base"), BOTH)
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 77
    tokenizer.save_pretrained(tmp_path / "adapter")
    (base / "added_tokens.json").write_text("{}")
    (base / "LICENSE").write_text("of the base")
    assert open_checkpoint(tmp_path / "adapter").tokenizer.model_max_length == 77
    compress_checkpoint(tmp_path / "adapter", PRUNE, tmp_path / "out")
    assert load(tmp_path / "out").tokenizer.model_max_length == 77
    assert (tmp_path / "out" / "LICENSE").read_text() == "of the base"
    assert not (tmp_path / "out" / "added_tokens.json").exists()


def test_its_identity_is_that_of_both_contents(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter", make_llama(), settings(base), BOTH)
    first = open_checkpoint(tmp_path / "adapter").location.identity
    shutil.copytree(base, tmp_path / "copy")
    write_adapter(tmp_path / "moved", make_llama(), settings("../copy"), BOTH)
    assert open_checkpoint(tmp_path / "moved").location.identity == first
    write_adapter(tmp_path / "other", make_llama(), settings("../copy", lora_alpha=7), BOTH)
    assert open_checkpoint(tmp_path / "other").location.identity != first
    make_llama(seed=1).save_pretrained(tmp_path / "copy")
    assert open_checkpoint(tmp_path / "moved").location.identity != first


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"use_dora": True}, "is not plain LoRA (use_dora is True)"),
        ({"bias": "all"}, "is not plain LoRA (bias is 'all')"),
        ({"peft_type": "IA3"}, "is not plain LoRA (peft_type is 'IA3')"),
        ({"modules_to_save": ["lm_head"]}, "is not plain LoRA (modules_to_save is ['lm_head'])"),
        ({"init_lora_weights": "pissa"}, "is not plain LoRA (init_lora_weights is 'pissa')"),
        ({"a_later_invention": 3}, "is not plain LoRA (a_later_invention is 3)"),
        ({"lora_alpha": "16"}, f"has no finite numeric lora_alpha for {MODULE} (got '16')"),
        ({"lora_alpha": math.nan}, f"has no finite numeric lora_alpha for {MODULE} (got nan)"),
        ({"lora_alpha": True}, f"has no finite numeric lora_alpha for {MODULE} (got True)"),
        ({"lora_alpha": None}, f"has no finite numeric lora_alpha for {MODULE} (got None)"),
        ({"alpha_pattern": {"q_proj": [8]}}, f"has no finite numeric lora_alpha for {MODULE} (got [8])"),
        ({"lora_alpha": 10**400}, "has settings that cannot be read (int too large to convert to float)"),
        ({"rank_pattern": {"(": 8}}, "has settings that cannot be read (missing ), unterminated subpattern"),
        ({"rank_pattern": ["q_proj"]}, "has settings that cannot be read ('list' object has no attribute"),
        ({"use_rslora": "no"}, "sets use_rslora to 'no', which is neither true nor false"),
        (
            {"r": 5},
            "has lora_A of shape [4, 32] for model.layers.0.self_attn.q_proj; its settings (rank 5) and the weight's "
            "shape [32, 32] require [5, 32]; merge it",
        ),
    ],
)
def test_other_adapters_are_refused(more: dict[str, Any], says: str, base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter", make_llama(), settings(base, **more), {"q_proj": (RANK, 1.0)})
    with pytest.raises(UserError) as error:
        open_checkpoint(tmp_path / "adapter").check()
    assert f"the adapter {says}" in str(error.value)
    assert "; merge it into its model with peft's merge_and_unload, and save" in str(error.value)
    assert "\n" not in str(error.value)


Q0 = "model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"target_modules": ["q_proj"]},
            "a matrix for model.layers.0.self_attn.v_proj, which its settings do not name",
        ),
        (
            {"target_modules": ["q_proj", "v_proj", "o_proj"]},
            "no matrix for model.layers.0.self_attn.o_proj, which its",
        ),
        (
            {"exclude_modules": ["v_proj"]},
            "a matrix for model.layers.0.self_attn.v_proj, which its settings do not name",
        ),
        ({"exclude_modules": r".*\.0\..*"}, f"a matrix for {Q0}, which its settings do not name"),
        ({"layers_to_transform": [0]}, "a matrix for model.layers.1.self_attn.q_proj, which its settings do not name"),
        ({"layers_to_transform": 1}, f"a matrix for {Q0}, which its settings do not name"),
        ({"layers_to_transform": [0, 1], "layers_pattern": "blocks"}, f"a matrix for {Q0}, which its settings do not"),
        ({"target_modules": r".*\.1\..*(q|v)_proj"}, f"a matrix for {Q0}, which its settings do not name"),
    ],
)
def test_settings_and_matrices_must_name_the_same_layers(
    more: dict[str, Any], says: str, base: Path, tmp_path: Path
) -> None:
    """Peft ignores matrices of layers that the settings do not name, and leaves others as they were at the start."""
    write_adapter(tmp_path / "adapter", make_llama(), settings(base, **more), BOTH)
    with pytest.raises(UserError) as error:
        open_checkpoint(tmp_path / "adapter").check()
    assert f"the adapter has {says}" in str(error.value)


@pytest.mark.parametrize(
    "more",
    [
        {"target_modules": "all-linear"},
        {"target_modules": None},
        {"target_modules": r".*\.(q|v)_proj"},
        {"layers_to_transform": [0, 1]},
        {"layers_to_transform": [1, 0], "layers_pattern": ["layers"]},
        {"exclude_modules": ["o_proj"]},
    ],
)
def test_settings_may_name_layers_in_other_ways(more: dict[str, Any], base: Path, tmp_path: Path) -> None:
    model = make_llama()
    write_adapter(tmp_path / "adapter", model, settings(base, **more), BOTH)
    assert_close(tmp_path / "adapter", model)


def test_a_folder_with_a_model_and_an_adapter_is_refused(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter", make_llama(), settings(base), BOTH)
    make_llama(seed=1).save_pretrained(tmp_path / "adapter")
    with pytest.raises(UserError, match=r"contains an adapter and, in model\.safetensors, a model's weights; move"):
        open_checkpoint(tmp_path / "adapter")


def test_matrices_of_integers_are_refused(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "integers", make_llama(), settings(base), {"q_proj": (RANK, 1.0)})
    file = tmp_path / "integers" / "adapter_model.safetensors"
    save_file({name: tensor.to(torch.int8) for name, tensor in load_file(file).items()}, file)
    with pytest.raises(UserError, match=r"the adapter stores .*lora_A\.weight as I8; merge it"):
        open_checkpoint(tmp_path / "integers").check()
    save_file({}, file)
    with pytest.raises(UserError, match="the adapter holds no matrices, so it would change nothing"):
        open_checkpoint(tmp_path / "integers").check()


@pytest.mark.parametrize(
    ("name", "renamed", "says"),
    [
        (f"{Q_PROJ}.lora_A.weight", f"{Q_PROJ}.lora_magnitude_vector", "lora_magnitude_vector, which is not a matrix"),
        (f"{Q_PROJ}.lora_A.weight", None, "lacks lora_A of model.layers.0.self_attn.q_proj"),
        (
            f"{Q_PROJ}.lora_A.weight",
            "base_model.model.lm_head.lora_A.weight",
            "changes lm_head, for which its base model stores no separate weight",
        ),
        (
            f"{Q_PROJ}.lora_A.weight",
            "base_model.model.model.layers.0.input_layernorm.lora_A.weight",
            "changes model.layers.0.input_layernorm, whose weight has the shape [32] and is not a matrix; merge it",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    name: str, renamed: str | None, says: str, base: Path, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "adapter", make_llama(), settings(base), {"q_proj": (RANK, 1.0)})
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    tensor = tensors.pop(name)
    save_file(tensors | ({} if renamed is None else {renamed: tensor}), file, metadata={"format": "pt"})
    with pytest.raises(UserError) as error:
        open_checkpoint(tmp_path / "adapter").check()
    assert says in str(error.value)


def test_a_base_model_that_is_not_here_is_named(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter", make_llama(), settings("org/base"), BOTH)
    with pytest.raises(UserError, match=r"its base model 'org/base' is neither a folder .*hf download org/base"):
        open_checkpoint(tmp_path / "adapter")
    write_adapter(tmp_path / "revised", make_llama(), settings("org/base", revision="v2"), BOTH)
    with pytest.raises(UserError, match=r"fetch it \(hf download org/base --revision v2\), or correct the path"):
        open_checkpoint(tmp_path / "revised")
    for number, gone in enumerate(("./gone", "../gone", "/no/such/folder", "a/b/c", "~/gone", "C:\\models\\gone")):
        write_adapter(tmp_path / f"moved{number}", make_llama(), settings(gone), BOTH)
        with pytest.raises(UserError) as refused:
            open_checkpoint(tmp_path / f"moved{number}")
        says = f"its base model '{gone}' does not exist; correct the path in adapter_config.json"
        assert str(refused.value).endswith(says)
    write_adapter(tmp_path / "second", make_llama(), settings("../adapter"), BOTH)
    with pytest.raises(UserError, match=r"its base model '../adapter' is itself an adapter; merge it first"):
        open_checkpoint(tmp_path / "second")
    write_adapter(tmp_path / "nameless", make_llama(), settings(""), BOTH)
    with pytest.raises(UserError, match=r"its adapter_config.json names no base model, or is damaged"):
        open_checkpoint(tmp_path / "nameless")
    write_adapter(tmp_path / "pickled", make_llama(), settings(base), BOTH)
    (tmp_path / "pickled" / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"contains an adapter without adapter_model.safetensors"):
        open_checkpoint(tmp_path / "pickled")


def test_a_base_model_that_stays_quantized_is_refused(tmp_path: Path) -> None:
    make_llama().save_pretrained(tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    method = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"quantization_config": method}))
    write_adapter(tmp_path / "adapter", make_llama(), settings("../base"), BOTH)
    with pytest.raises(UserError, match=r"its base model stays quantized \(bitsandbytes, 4 bits\), but adapters are"):
        open_checkpoint(tmp_path / "adapter").check()


def test_a_change_of_one_expert_of_a_file_changes_it_alone(tmp_path: Path) -> None:
    """Adapters made before transformers 5 name each expert's layers, which are now joined as the model is loaded."""
    model = make_qwen_moe()
    model.save_pretrained(tmp_path / "base")
    make_tokenizer().save_pretrained(tmp_path / "base")
    layer, random = "model.layers.1.mlp.experts.2.gate_proj", torch.Generator().manual_seed(0)
    gate_up = model.get_parameter("model.layers.1.mlp.experts.gate_up_proj")
    outputs, inputs = gate_up.shape[1] // 2, gate_up.shape[2]
    before, after = (torch.randn(shape, generator=random) for shape in ((RANK, inputs), (outputs, RANK)))
    (tmp_path / "adapter").mkdir()
    names = {part: f"base_model.model.{layer}.lora_{part}.weight" for part in "AB"}
    save_file({names["A"]: before, names["B"]: after}, tmp_path / "adapter" / "adapter_model.safetensors")
    config = settings(tmp_path / "base", target_modules=[layer])
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    changed = gate_up.data[2, :outputs].double() + ALPHA / RANK * (after.double() @ before.double())
    gate_up.data[2, :outputs] = changed.float()
    assert_close(tmp_path / "adapter", model)


def make_qwen_moe() -> PreTrainedModel:
    """Return a tiny mixture of experts whose matrices all have the same shape."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "moe_intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    experts = {"num_experts": 4, "num_experts_per_tok": 2}
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(vocab_size=300, **sizes, **heads, **experts)).eval()
