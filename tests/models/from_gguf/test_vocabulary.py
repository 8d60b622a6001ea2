"""Tokenizers of GGUF files, against those that the files were written from and llama.cpp's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import make_tokenizer
from tokenizers import AddedToken
from written_ggufs import byte_level_tokens, write_llama_gguf

from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load

_LETTERS = "▁abcdefghijklmnopqrstuvwxyzH."
SENTENCEPIECE: dict[str, Any] = {
    "model": "llama",
    "pre": "default",
    "merges": None,
    "tokens": ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *_LETTERS, "▁H", "el"],
    "scores": [0.0] * 259 + [-10.0] * len(_LETTERS) + [-1.0, -2.0],
    "token_type": [2, 3, 3, *[6] * 256, *[1] * (len(_LETTERS) + 2)],
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.mark.parametrize(
    ("stated", "tokens"),
    [
        ({}, ["<s>", "▁H", "el", "l", "o"]),
        ({"add_space_prefix": True}, ["<s>", "▁H", "el", "l", "o"]),
        ({"add_space_prefix": False}, ["<s>", "H", "el", "l", "o"]),
        ({"add_space_prefix": False, "add_bos_token": False, "add_eos_token": True}, ["H", "el", "l", "o", "</s>"]),
    ],
)
def test_a_space_before_a_text_and_tokens_around_it_are_added_as_the_file_says(
    stated: dict[str, Any], tokens: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, vocabulary={**SENTENCEPIECE, **stated})
    tokenizer = load(str(path)).tokenizer
    assert tokenizer.convert_ids_to_tokens(tokenizer("Hello")["input_ids"]) == tokens
    if "add_space_prefix" in stated:
        spaced = tokenizer("l l", add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(spaced) == "l l"
        assert ("▁" in tokenizer.convert_ids_to_tokens(spaced)[0]) == stated["add_space_prefix"]


def test_user_defined_and_control_tokens_are_matched_as_they_are_written(tmp_path: Path) -> None:
    """Runs of spaces are such tokens in Pythia, OLMo and Phi-2; in the last, also beside the same run as bytes."""
    original = make_tokenizer()
    original.add_tokens([AddedToken(token, normalized=False) for token in ("foobar", "  ", "    ", "\t\t")])
    original.add_special_tokens({"additional_special_tokens": ["<｜end▁of▁text｜>"]})
    known = original.get_vocab()
    tokens = [*sorted(known, key=known.__getitem__), "ĠĠ"]
    types = [3, 3, *[1] * (len(tokens) - 8), 4, 4, 4, 4, 3, 1]
    path = tmp_path / "model.gguf"
    vocabulary = {"tokens": tokens, "token_type": types, "merges": ["Ġ t", "h e", "i n", "Ġt he"]}
    write_llama_gguf(path, vocabulary={**vocabulary, "add_bos_token": True, "bos_token_id": tokens.index("\t\t") + 1})
    loaded = load(str(path)).tokenizer
    for text in ("a foobar b", "x  y", "def f():\n    pass", "   the\t\tinn", "in<｜end▁of▁text｜>the"):
        first, *rest = loaded(text)["input_ids"]
        assert first == tokens.index("<｜end▁of▁text｜>") == loaded.bos_token_id
        assert rest == original(text)["input_ids"], text
    assert len(loaded) == len(tokens)
    assert loaded.get_vocab() == {token: number for number, token in enumerate(tokens)}


@pytest.mark.parametrize("stated", [{"pre": None}, {"pre": "default"}])
def test_words_are_split_by_llama_cpps_rules_where_the_file_names_none(stated: dict[str, Any], tmp_path: Path) -> None:
    """Numbers are split into groups of three digits, and off the space before them; signs are apart from spaces."""
    path = tmp_path / "model.gguf"
    tokens = [*byte_level_tokens(), "Ġ1", "12", "34", "Ġ("]
    write_llama_gguf(path, vocabulary={"tokens": tokens, "merges": ["Ġ 1", "1 2", "3 4", "Ġ ("], **stated})
    tokenizer = open_checkpoint(str(path)).tokenizer
    assert tokenizer.tokenize("in 1234 (") == ["i", "n", "Ġ", "12", "3", "4", "Ġ", "("]


@pytest.mark.parametrize(
    ("vocabulary", "says"),
    [
        ({**SENTENCEPIECE, "model": "t5"}, r"tokenizer\.ggml\.model = t5, which transformers ignores"),
        ({"add_space_prefix": True}, r"tokenizer\.ggml\.add_space_prefix = True"),
        ({**SENTENCEPIECE, "precompiled_charsmap": [1, 2, 3] * 200}, r"precompiled_charsmap = \[1, 2, 3"),
        ({**SENTENCEPIECE, "remove_extra_whitespaces": True}, r"remove_extra_whitespaces = True"),
        ({"normalizer.lowercase": True}, r"normalizer\.lowercase = True"),
        ({"a_setting_of_next_year": 1}, r"a_setting_of_next_year = 1"),
        (
            {**SENTENCEPIECE, "scores": [0.0] * 50},
            r"the GGUF file is damaged \(tokenizer\.ggml\.scores has 50 values for 290 tokens\); fetch it again",
        ),
        ({"token_type": [1] * 100}, r"damaged \(tokenizer\.ggml\.token_type has 100 values for \d+ tokens\)"),
        ({"token_type": 1}, r"damaged \(tokenizer\.ggml\.token_type is not a list\)"),
        ({"bos_token_id": 4_294_967_295}, "transformers cannot read this GGUF"),
        ({"bos_token_id": None, "add_bos_token": True}, r"add_bos_token = True, but names no such token"),
        (
            {"tokens": [*byte_level_tokens(), "  "], "token_type": [1] * 262 + [4], "merges": ["Ġ Ġ"]},
            "its tokenizer is missing or damaged",
        ),
    ],
)
def test_settings_that_would_change_tokens_are_refused(vocabulary: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, vocabulary=vocabulary)
    with pytest.raises(UserError, match=says):
        open_checkpoint(str(path)).check()


def test_settings_that_change_no_token_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    ids = ("seperator", "cls", "mask", "eot", "eom", "fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep")
    stated = {f"{kind}_token_id": 1 for kind in (*ids, "padding", "unknown", "prefix", "suffix", "middle")}
    stated |= {"add_sep_token": True, "add_space_prefix": False, "remove_extra_whitespaces": False}
    stated |= {"token_type_count": 1, "suppress_tokens": [3, 4], "add_eos_token": False, "normalizer.lowercase": False}
    write_llama_gguf(path, vocabulary=stated)
    tokenizer = open_checkpoint(str(path)).tokenizer
    assert tokenizer("the inn")["input_ids"] == make_tokenizer()("the inn")["input_ids"]


def test_the_end_of_a_turn_ends_a_written_answer_too(tmp_path: Path) -> None:
    """As in llama.cpp, and as a checkpoint's ``generation_config.json`` lists it."""
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, vocabulary={"eot_token_id": 5, "eom_token_id": 5})
    assert load(str(path)).model.generation_config.eos_token_id == [1, 5]
    write_llama_gguf(path)
    assert load(str(path)).model.generation_config.eos_token_id in (1, [1])
