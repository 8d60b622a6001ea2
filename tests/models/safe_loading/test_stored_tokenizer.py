"""Tokenizers that transformers would build by the rules of a class, not by those of the model's own file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from forgetmeter.errors import UserError
from forgetmeter.models.safe_loading.pretrained import open_tokenizer

TEXTS = ("In 1969 and 2024, 12345", "cafe\u0301", "plain words")
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def digit_by_digit() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [*TEXTS, "1969 2024 12345"] * 3,
        trainers.BpeTrainer(vocab_size=330, special_tokens=[*SPECIAL.values()], initial_alphabet=alphabet),
    )
    return tokenizer


def folder_of(tokenizer: Tokenizer, folder: Path, model_type: str, tokenizer_class: str) -> Path:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "vocab_size": 330}))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": tokenizer_class}))
    return folder


@pytest.mark.parametrize(
    ("model_type", "tokenizer_class"),
    [
        ("gpt2", "GPT2Tokenizer"),
        ("gemma3_text", "GemmaTokenizerFast"),
        ("roberta", "RobertaTokenizerFast"),
        ("squeezebert", "BertTokenizer"),
        ("llama", "PreTrainedTokenizerFast"),
    ],
)
def test_texts_are_split_by_the_rules_of_tokenizer_json(tmp_path: Path, model_type: str, tokenizer_class: str) -> None:
    rules = digit_by_digit()
    found = open_tokenizer(folder_of(rules, tmp_path, model_type, tokenizer_class), "model")
    for text in TEXTS:
        assert found(text, add_special_tokens=False)["input_ids"] == rules.encode(text, add_special_tokens=False).ids
    assert (found.bos_token, found.eos_token, found.pad_token) == ("<s>", "</s>", "<pad>")


def test_transformers_alone_would_lose_them(tmp_path: Path) -> None:
    rules = digit_by_digit()
    built = AutoTokenizer.from_pretrained(folder_of(rules, tmp_path, "gpt2", "GPT2Tokenizer"))
    assert any(built(text)["input_ids"] != rules.encode(text).ids for text in TEXTS)


@pytest.mark.parametrize("tokenizer_class", ["GPT2Tokenizer", "GPTNeoXTokenizerFast", "Qwen2Tokenizer"])
@pytest.mark.parametrize("has_space", [False, True])
def test_a_space_before_texts_is_as_in_the_settings(tmp_path: Path, tokenizer_class: str, has_space: bool) -> None:
    folder = folder_of(digit_by_digit(), tmp_path, "llama", tokenizer_class)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "add_prefix_space": has_space}))
    found = open_tokenizer(folder, "model").tokenize("In 19")
    assert found[0].startswith("Ġ") == has_space
    assert AutoTokenizer.from_pretrained(folder).tokenize("In 19")[0].startswith("Ġ") == has_space
    # The other rules are those of tokenizer.json.
    assert [piece for each in found if (piece := each.strip("Ġ"))][-2:] == ["1", "9"]


def test_a_setting_that_changes_the_rules_is_followed(tmp_path: Path) -> None:
    words = Tokenizer(models.WordPiece({"[UNK]": 0, "paris": 1, "Paris": 2, "[CLS]": 3, "[SEP]": 4}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    folder = folder_of(words, tmp_path, "bert", "BertTokenizer")
    assert open_tokenizer(folder, "model").tokenize("Paris") == ["Paris"]
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "do_lower_case": True}))
    assert open_tokenizer(folder, "model").tokenize("Paris") == ["paris"]


@pytest.mark.parametrize(
    ("model_type", "lacks"),
    [
        ("qwen3", "tokenizer.json or vocab.json and merges.txt"),
        ("gemma", "tokenizer.json"),
        ("t5", "tokenizer.json or spiece.model"),
        ("bert", "tokenizer.json or vocab.txt"),
    ],
)
def test_a_folder_without_a_vocabulary_is_refused(tmp_path: Path, model_type: str, lacks: str) -> None:
    """transformers makes tokenizers of special tokens alone, under which all answers are the same tokens."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    assert len(AutoTokenizer.from_pretrained(tmp_path)) < 105
    with pytest.raises(UserError, match=rf"its tokenizer is missing or damaged \(its folder lacks {lacks}\)"):
        open_tokenizer(tmp_path, "model")


def test_a_tokenizer_of_characters_needs_no_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "canine"}))
    assert open_tokenizer(tmp_path, "model")("a")["input_ids"][1] == ord("a")
