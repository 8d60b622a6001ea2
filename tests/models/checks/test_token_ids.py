"""Tokens without an embedding that no vocabulary lists are refused before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import (
    make_bart,
    make_bart_tokenizer,
    make_roberta,
    make_t5,
    make_t5_tokenizer,
    make_tokenizer,
    make_wordpiece_tokenizer,
)
from transformers import (
    FSMTConfig,
    FSMTForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.checks.token_ids import decoder_start
from forgetmeter.models.loading import load, wrap
from forgetmeter.scoring.engine import Engine


def made(kind: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    match kind:
        case "t5":
            return make_t5(), make_t5_tokenizer()
        case "bart":
            return make_bart(), make_bart_tokenizer()
        case "roberta":
            tokenizer = make_wordpiece_tokenizer()
            return make_roberta(len(tokenizer)), tokenizer
        case _:
            small = {"n_embd": 32, "n_layer": 1, "n_head": 4, "bos_token_id": 0, "eos_token_id": 1}
            return GPT2LMHeadModel(GPT2Config(vocab_size=len(make_tokenizer()), **small)), make_tokenizer()


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        ("t5", {"decoder_start_token_id": 32000}, "decoder_start_token_id in its config.json is 32000, which is not"),
        ("t5", {"decoder_start_token_id": [0]}, r"decoder_start_token_id in its config.json is \[0\]"),
        ("bart", {"decoder_start_token_id": -1}, "decoder_start_token_id in its config.json is -1"),
        ("bart", {"decoder_start_token_id": None, "bos_token_id": 32000}, "bos_token_id in its config.json is 32000"),
        ("roberta", {"pad_token_id": -1}, "pad_token_id in its config.json is -1, which is not a token from 0 to"),
        ("roberta", {"pad_token_id": None}, "pad_token_id in its config.json is None"),
        (
            "gpt2",
            {"pad_token_id": 10**30},
            r"pad_token_id is 1000000\d*…, which is not a token\); restore the original",
        ),
    ],
)
def test_tokens_that_a_configuration_names_and_a_model_reads_must_exist(
    kind: str, settings: dict[str, Any], says: str, tmp_path: Path
) -> None:
    model, tokenizer = made(kind)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(stored | settings))
    with pytest.raises(UserError, match=rf"^model '{tmp_path}': .*{says}"):
        open_checkpoint(tmp_path).check()
    with pytest.raises(UserError, match=says):
        load(tmp_path)


@pytest.mark.parametrize("settings", [{"pad_token_id": -1}, {"eos_token_id": 300}, {"forced_bos_token_id": 32000}])
def test_tokens_that_no_model_reads_are_left_alone(
    settings: dict[str, Any], llama_folder: Path, tmp_path: Path
) -> None:
    """Llama's first checkpoints have -1 for no padding."""
    folder = tmp_path / "model"
    shutil.copytree(llama_folder, folder)
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stored | settings))
    Engine(load(folder))


def test_tokens_that_a_tokenizer_adds_to_texts_must_exist(llama_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(llama_folder, folder)
    stored = json.loads((folder / "tokenizer.json").read_text())
    start, text = {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    stored["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [start, text],
        "pair": [start, text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [101000], "tokens": ["<s>"]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"its tokenizer adds token 101000 to every text, beyond the model's 262 emb"):
        open_checkpoint(folder).check()


def test_the_padding_token_of_an_encoder_must_exist() -> None:
    model, tokenizer = made("roberta")
    tokenizer.add_special_tokens({"pad_token": "[NEW]"})
    with pytest.raises(UserError, match=r"its tokenizer pads texts with token \d+, beyond the model's"):
        wrap(model, tokenizer)


def test_a_decoder_that_is_a_plain_module_has_a_start() -> None:
    config = FSMTConfig(langs=["en", "de"], src_vocab_size=10, tgt_vocab_size=10, decoder_start_token_id=2)
    with torch.device("meta"):
        assert decoder_start(FSMTForConditionalGeneration(config), "fsmt") == 2
