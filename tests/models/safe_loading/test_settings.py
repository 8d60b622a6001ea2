"""Configurations with settings that no weight's shape gives away are refused before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_models import make_llama, make_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.safe_loading.settings import setting_problems, size_problems


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny-mixtral"
    settings = {key: value for key, value in make_llama().config.to_dict().items() if key != "model_type"}
    config = MixtralConfig(**settings, num_local_experts=4, num_experts_per_tok=2)
    MixtralForCausalLM(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    open_checkpoint(folder).check()
    return folder


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"num_experts_per_tok": 0}, "num_experts_per_tok is 0 but must be from 1 to 4, the number of experts"),
        ({"num_experts_per_tok": 5}, "num_experts_per_tok is 5 but must be from 1 to 4, the number of experts"),
        ({"num_experts_per_tok": -1}, "num_experts_per_tok is -1 but must be from 1 to 4"),
        ({"num_local_experts": 0}, "has the shape \\[4, 32, 48\\] in the checkpoint, but \\[0, 32, 48\\]"),
        ({"sliding_window": 0}, "sliding_window is 0 but must be positive"),
        ({"sliding_window": -3}, "sliding_window is -3 but must be positive"),
        ({"rms_norm_eps": -1e-6}, "rms_norm_eps is -1e-06 but must not be negative"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 0.0}}, "rope_theta is 0.0 but must be positive"),
        (
            {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 0}},
            "factor of the rotary embedding is 0 but must be positive",
        ),
        ({"num_attention_heads": 0}, "in the checkpoint, but .* according to its config.json"),
        ({"num_key_value_heads": 0}, "cannot be loaded"),
        (
            {"num_hidden_layers": 10**30},
            "num_hidden_layers is 10000000000000000000… but must be from 0 to 10,000\\)",
        ),
        (
            {"num_hidden_layers": 10**400},
            "num_hidden_layers is 10000000000000000000… but must be from 0 to 10,000\\)",
        ),
        ({"num_hidden_layers": 1_000_000}, "num_hidden_layers is 1000000 but must be from 0 to 10,000\\)"),
        ({"num_local_experts": 10**6}, "num_local_experts is 1000000 but must be from 0 to 100,000\\)"),
        ({"num_key_value_heads": -1}, "num_key_value_heads is -1 but must be from 0 to 100,000\\)"),
        ({"hidden_size": 10**12}, "hidden_size is 1000000000000 but must be from 0 to 100,000,000\\)"),
        ({"vocab_size": 10**15}, "vocab_size is 1000000000000000 but must be from 0 to 100,000,000\\)"),
        ({"head_dim": 10**9}, "head_dim is 1000000000 but must be from 0 to 100,000,000\\)"),
        ({"vocab_size": "262"}, "Field 'vocab_size' expected int, got str"),
        ({"bos_token_id": 10**400}, "bos_token_id is 10000000000000000000…, which is not a token"),
        ({"num_hidden_layers": 0}, "which the model that its config.json describes does not use"),
        ({"architectures": 3}, "architectures is 3 but must be a list of names"),
        ({"architectures": [3]}, "architectures is \\[3\\] but must be a list of names"),
        ({"model_type": []}, "its config.json cannot be used"),
        ({"vocab_size": 10}, "has the shape \\[262, 32\\] in the checkpoint, but \\[10, 32\\]"),
    ],
)
@pytest.mark.timeout(20)
def test_impossible_settings_are_refused_on_opening(
    folder: Path, tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = copy / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(UserError, match=says) as refusal:
        open_checkpoint(copy).check()
    assert "\n" not in str(refusal.value)


def test_heads_that_cannot_share_are_refused(tmp_path: Path) -> None:
    config = LlamaConfig(**make_llama().config.to_dict() | {"num_key_value_heads": 3})
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="num_key_value_heads is 3 but must divide num_attention_heads, 4"):
        open_checkpoint(tmp_path).check()


@pytest.mark.parametrize(
    ("settings", "number"),
    [
        ({"num_experts_per_tok": 0, "num_experts": 0}, 0),
        ({"num_experts_per_tok": None, "num_experts": 4}, 0),
        ({"sliding_window": None}, 0),
        ({"sliding_window": 0, "layer_types": ["full_attention"]}, 0),
        ({"sliding_window": 0, "layer_types": ["full_attention", "sliding_attention"]}, 1),
        ({"text_config": {"relative_attention_max_distance": 0}}, 1),
        ({"routed_scaling_factor": 0.0, "topk_group": 0, "final_logit_softcapping": 0}, 3),
        ({"routed_scaling_factor": 2.5, "topk_group": None, "final_logit_softcapping": 30}, 0),
        ({"num_attention_heads": 12, "num_key_value_heads": None}, 0),
        ({"moe_topk": 3, "n_routed_experts": 2, 0: "label"}, 1),
    ],
)
def test_what_is_not_used_may_have_any_value(settings: dict[Any, Any], number: int) -> None:
    assert len(list(setting_problems(settings))) == number


@pytest.mark.parametrize(
    "kind", ["llama", "mixtral", "qwen2_moe", "gpt_oss", "gemma3_text", "deepseek_v3", "bert", "t5", "doge", "llava"]
)
def test_defaults_of_architectures_are_possible(kind: str) -> None:
    settings = CONFIG_MAPPING[kind]().to_dict()
    assert not [*setting_problems(settings), *size_problems(settings)]
