"""Compressed checkpoints of every architecture load in plain transformers, or are refused up front.

Covers ``checkpoints.outputs``, ``checkpoints.in_memory`` and ``compression.surgery.block_dropping``.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from checkpoints.reloading import in_memory, loaded
from models.architectures import ARCHITECTURES, HIDDEN, VOCABULARY, logits_of, make_architecture
from safetensors.torch import load_file, save_file
from scoring.batch_invariance.configurations import CONFIGURATIONS
from transformers import PreTrainedModel

from forgetmeter.checkpoints import compressing
from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.compression.surgery.block_dropping import remaining_settings
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.roles.weight_map import weight_map

RECIPES = {
    "dense": ("l1_unstructured:overall:0.5", "round_to_nearest:overall:4+l1_unstructured:head:0.5"),
    "compressed-tensors": ("round_to_nearest:overall:4", "round_to_nearest:attention:6:group_size=8"),
}


@pytest.mark.parametrize("format", RECIPES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_written_checkpoints_load_as_the_compressed_model(
    name: str, format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if format == "compressed-tensors":
        pytest.importorskip("compressed_tensors")
    make_architecture(name).save_pretrained(tmp_path / "source")
    for place, recipe in enumerate(RECIPES[format]):
        out = tmp_path / f"out-{place}"
        try:
            # The reference is this test's own loading, not the command's check.
            compress_checkpoint(str(tmp_path / "source"), recipe, out, format=format, check=False)
        except UserError as error:
            assert format == "compressed-tensors" or "selects no weight matrix" in str(error)
            monkeypatch.setattr(compressing, "_write_streamed", _must_not_be_reached)
            with pytest.raises(UserError):
                compress_checkpoint(str(tmp_path / "source"), recipe, out, format=format, check=False)
            continue
        torch.testing.assert_close(logits_of(loaded(out)), logits_of(in_memory(tmp_path / "source", recipe)))


@pytest.mark.parametrize("recipe", ["l1_unstructured:overall:0.5", "drop_layers:overall:0.5"])
@pytest.mark.parametrize("name", ["xlstm", "nemotron_h"])
def test_models_whose_caches_cannot_be_made_are_checked_without(name: str, recipe: str, tmp_path: Path) -> None:
    """As they are scored; transformers cannot make the caches of these."""
    torch.manual_seed(0)
    if name == "xlstm":
        sizes = {"hidden_size": 64, "num_heads": 4, "num_hidden_layers": 2, "qk_dim_factor": 0.5}
        model = transformers.xLSTMForCausalLM(transformers.xLSTMConfig(vocab_size=VOCABULARY, **sizes))
    else:
        kinds = ["mamba", "mlp", "mamba", "attention"]
        sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}
        mamba = {"mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 16, "n_groups": 2, "head_dim": 16}
        config = transformers.NemotronHConfig(vocab_size=VOCABULARY, layers_block_type=kinds, **sizes, **mamba)
        model = transformers.NemotronHForCausalLM(config)
    model.save_pretrained(tmp_path / "source")
    written = compress_checkpoint(str(tmp_path / "source"), recipe, tmp_path / "out")
    assert written.folder == tmp_path / "out"


@pytest.mark.parametrize("copies", ["one", "each"])
def test_weights_that_layers_share_are_written_once(copies: str, tmp_path: Path) -> None:
    """Some files have a copy for each layer, of which transformers reads one."""
    model = CONFIGURATIONS["zamba as decoder"].model()
    model.save_pretrained(tmp_path / "source")
    if copies == "each":
        values = load_file(tmp_path / "source" / "model.safetensors")
        more = dict(model.named_parameters(remove_duplicate=False))
        more = {name: tensor.detach().clone() for name, tensor in more.items() if name != "lm_head.weight"}
        assert len(more) > len(values)
        save_file(values | more, tmp_path / "source" / "model.safetensors", metadata={"format": "pt"})
    recipe = "l1_unstructured:overall:0.5"
    compress_checkpoint(str(tmp_path / "source"), recipe, tmp_path / "out", check=False)
    torch.testing.assert_close(logits_of(loaded(tmp_path / "out")), logits_of(in_memory(tmp_path / "source", recipe)))
    compress_checkpoint(str(tmp_path / "source"), recipe, tmp_path / "checked")


@pytest.mark.parametrize(
    "name", ["llama as decoder", "gpt2 as decoder", "t5 as encoder-decoder", "bart as encoder-decoder"]
)
def test_copies_of_an_embedding_are_one_weight(name: str, tmp_path: Path) -> None:
    """Planned as it is loaded: transformers ties equal copies if the configuration ties the embeddings."""
    model = CONFIGURATIONS[name].model()
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(tmp_path / "once")
    values = load_file(tmp_path / "once" / "model.safetensors")
    every = {each: tensor.detach().clone() for each, tensor in model.named_parameters(remove_duplicate=False)}
    assert len(every) > len(values)
    shutil.copytree(tmp_path / "once", tmp_path / "twice")
    save_file(every, tmp_path / "twice" / "model.safetensors", metadata={"format": "pt"})
    once, twice = (weight_map(open_checkpoint(str(tmp_path / each)).skeleton) for each in ("once", "twice"))
    assert once == twice
    assert any(each.tied_to for each in twice)
    recipe = "l1_unstructured:token_embedding:0.5"
    compress_checkpoint(str(tmp_path / "twice"), recipe, tmp_path / "out")
    torch.testing.assert_close(logits_of(loaded(tmp_path / "out")), logits_of(in_memory(tmp_path / "once", recipe)))


def _must_not_be_reached(*_: object) -> None:
    raise AssertionError("something was written before it was refused")


_SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
_EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
BLOCKS_OF_TWO_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "smollm3": ("SmolLM3", {"no_rope_layers": [1, 0, 1, 0]}),
    "gemma2": ("Gemma2", {"sliding_window": 4}),
    "gemma3": ("Gemma3", {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"] * 2}),
    "qwen2 with a window": ("Qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2}),
    "cohere2": ("Cohere2", {"sliding_window": 4}),
    "gpt_oss": ("GptOss", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 4}),
    "qwen2_moe": ("Qwen2Moe", {**_EXPERTS, "decoder_sparse_step": 2, "shared_expert_intermediate_size": 40}),
    "qwen3_moe": ("Qwen3Moe", {**_EXPERTS, "mlp_only_layers": [2]}),
    "deepseek_v2": (
        "DeepseekV2",
        {
            "first_k_dense_replace": 2,
            "n_routed_experts": 4,
            "n_shared_experts": 1,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "kv_lora_rank": 16,
            "q_lora_rank": None,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "n_group": 1,
            "topk_group": 1,
            "num_key_value_heads": 4,
        },
    ),
    "jamba": (
        "Jamba",
        {
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "use_mamba_kernels": False,
            "mamba_d_state": 8,
        },
    ),
    "gpt_neo": ("GPTNeo", {"num_layers": 4, "num_heads": 4, "attention_types": [[["global", "local"], 2]]}),
}


def of_two_kinds(name: str) -> PreTrainedModel:
    kind, options = BLOCKS_OF_TWO_KINDS[name]
    config_class = transformers.Gemma3TextConfig if kind == "Gemma3" else getattr(transformers, f"{kind}Config")
    small = {key: value for key, value in _SMALL.items() if kind != "GPTNeo" or "num_" not in key}
    torch.manual_seed(0)
    model: PreTrainedModel = getattr(transformers, f"{kind}ForCausalLM")(config_class(**{**small, **options})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2) if parameter.dim() > 1 else None
    return model


@pytest.mark.parametrize("dropped", ["layers[0]", "layers[1]", "layers[1-2]"])
@pytest.mark.parametrize("name", BLOCKS_OF_TWO_KINDS)
def test_blocks_of_two_kinds_keep_theirs_or_are_refused(name: str, dropped: str, tmp_path: Path) -> None:
    of_two_kinds(name).save_pretrained(tmp_path / "source")
    recipe = f"drop_layers:{dropped}/overall:1"
    out = tmp_path / "out"
    try:
        written = compress_checkpoint(str(tmp_path / "source"), recipe, out)
    except UserError as error:
        assert name in ("jamba", "gpt_neo", "gpt_oss", "deepseek_v2"), error
        assert "\n" not in str(error)
        assert {path.name for path in tmp_path.iterdir()} == {"source"}
        return
    assert written.is_checked
    torch.testing.assert_close(logits_of(loaded(out)), logits_of(in_memory(tmp_path / "source", recipe)))


def test_a_folder_that_would_load_as_another_model_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As SmolLM3 was once written: without its order of blocks with and without positions."""
    of_two_kinds("smollm3").save_pretrained(tmp_path / "source")

    def all_but_one(settings: dict[str, Any], length: int, kept: list[int]) -> dict[str, Any]:
        return {"layer_types": remaining_settings(settings, length, kept).get("layer_types", ["full_attention"] * 3)}

    monkeypatch.setattr("forgetmeter.compression.surgery.block_dropping.remaining_settings", all_but_one)
    with pytest.raises(UserError, match="its logits would be off by"):
        compress_checkpoint(str(tmp_path / "source"), "drop_layers:layers[0]/overall:1", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


IN_BFLOAT16 = {
    "l1_unstructured:overall:0.5": False,
    "random_unstructured:overall:0.5": False,
    "ln_structured:overall:0.5": False,
    "cast:overall:dtype=float16": False,
    "round_to_nearest:attention:4": True,
    "svd:overall:0.5": True,
}


@pytest.mark.parametrize("recipe", IN_BFLOAT16)
def test_the_rounding_of_a_16_bit_checkpoint_is_measured(recipe: str, tmp_path: Path) -> None:
    """``run`` scores float32 variants; a folder of bfloat16 weights differs from that by one rounding."""
    of_two_kinds("llama").bfloat16().save_pretrained(tmp_path / "source")
    written = compress_checkpoint(str(tmp_path / "source"), recipe, tmp_path / "out")
    run = logits_of(in_memory(tmp_path / "source", recipe, dtype=torch.float32))
    found = logits_of(loaded(tmp_path / "out", dtype=torch.float32))
    moved = float(((run - found).square().mean(-1).sqrt() / run.std(-1)).max())
    assert (written.rounding > 0) == IN_BFLOAT16[recipe], written.rounding
    # A different text, so not the same number.
    assert written.rounding / 3 <= moved <= 3 * written.rounding + 1e-4


def test_skipping_the_check_is_reported(tmp_path: Path) -> None:
    of_two_kinds("llama").save_pretrained(tmp_path / "source")
    for place, check in enumerate((None, True, False)):
        written = compress_checkpoint(
            str(tmp_path / "source"), "l1_unstructured:overall:0.5", tmp_path / f"out-{place}", check=check
        )
        assert written.is_checked == (check is not False)


def test_settings_match_the_remaining_blocks() -> None:
    settings = {
        "layer_types": ["a", "b", "c", "d"],
        "eos_token_id": [1, 2, 3, 4],
        "mlp_only_layers": [1, 3],
        "full_attn_idxs": [0, 2],
        "first_k_dense_replace": 2,
        "rope_scaling": {"short_factor": [1, 2, 3, 4]},
        "no_rope_layers": [1, 0, 1, 0],
        "decoder_sparse_step": 1,
    }
    assert remaining_settings(settings, 4, [0, 2, 3]) == {
        "layer_types": ["a", "c", "d"],
        "mlp_only_layers": [2],
        "full_attn_idxs": [0, 1],
        "first_k_dense_replace": 1,
        "no_rope_layers": [1, 1, 0],
    }
    sparse = {"decoder_sparse_step": 2, "mlp_only_layers": []}
    assert remaining_settings(sparse, 4, [2, 3]) == {"decoder_sparse_step": 1, "mlp_only_layers": [0]}
    assert json.loads(json.dumps(settings))["eos_token_id"] == [1, 2, 3, 4]
