"""Calibration texts as inputs of models.

Covers ``scoring.calibration_texts``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
import torch
from tiny_models import make_bert, make_llama, make_t5, make_t5_tokenizer, make_tokenizer, make_wordpiece_tokenizer

from forgetmeter.config.study import CalibrationSettings
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.scoring.calibration import calibration_calls
from forgetmeter.scoring.calibration_texts import text_digest

TEXT = "One sentence follows another, and the third ends it.\n\n" * 40


@pytest.fixture
def llama():
    return Loaded(make_llama(), make_tokenizer(), "decoder", "llama")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return str(path)


def make_loaded_bert():
    tokenizer = make_wordpiece_tokenizer()
    return Loaded(make_bert(len(tokenizer)), tokenizer, "encoder", "bert")


def rows(calls):
    return [row for call in calls for row in call["input_ids"].tolist()]


def test_sequences_are_pieces_of_the_text(llama, text) -> None:
    settings = CalibrationSettings(text, sequences=5, length=17)
    found = rows(calibration_calls(llama, settings))
    whole = llama.tokenizer(TEXT.strip(), add_special_tokens=False)["input_ids"]
    pieces = [whole[start : start + 17] for start in range(0, len(whole), 17)]
    assert len(found) == 5
    assert all(len(each) == 17 and each in pieces for each in found)
    assert rows(calibration_calls(llama, settings)) == found
    assert rows(calibration_calls(llama, CalibrationSettings(text, 5, 17, seed=1))) != found


def test_each_family_gets_the_tokens_that_its_tokenizer_adds(text) -> None:
    t5 = Loaded(make_t5(), make_t5_tokenizer(), "encoder-decoder", "t5")
    (call,) = calibration_calls(t5, CalibrationSettings(text, 3, 12))
    assert call["input_ids"].shape == (3, 12)
    assert (call["input_ids"][:, -1] == t5.tokenizer.eos_token_id).all()
    assert torch.equal(call["labels"], call["input_ids"])
    bert = make_loaded_bert()
    (call,) = calibration_calls(bert, CalibrationSettings(text, 3, 12))
    assert call.keys() == {"input_ids"}
    assert (call["input_ids"][:, 0] == bert.tokenizer.cls_token_id).all()
    assert (call["input_ids"][:, -1] == bert.tokenizer.sep_token_id).all()


def test_sequences_are_no_longer_than_the_model_takes(llama, text) -> None:
    llama.model.config.max_position_embeddings = 9
    assert {len(each) for each in rows(calibration_calls(llama, CalibrationSettings(text, 5, 17)))} == {9}


def test_a_call_holds_at_most_4096_tokens(llama, text) -> None:
    calls = calibration_calls(llama, CalibrationSettings(text, 2, 500))
    assert [call["input_ids"].shape for call in calls] == [(2, 500)]
    calls = calibration_calls(llama, CalibrationSettings(sequences=20, length=500))
    assert [len(call["input_ids"]) for call in calls] == [8, 8, 4]


def test_facts_are_whole_statements() -> None:
    loaded = load("standard:decoder")
    calls = calibration_calls(loaded, CalibrationSettings(sequences=30))
    texts = [loaded.tokenizer.decode(row, skip_special_tokens=True) for row in rows(calls)]
    assert len(texts) == 30
    assert all(text.endswith(".") for text in texts)
    assert max(Counter(texts).values()) == 1


def test_the_digest_is_that_of_the_text(text) -> None:
    assert text_digest(CalibrationSettings(text), "llama") == hashlib.sha256(TEXT.strip().encode()).hexdigest()
    assert text_digest(CalibrationSettings(), "standard:decoder") != text_digest(CalibrationSettings(), "llama")
    assert text_digest(CalibrationSettings(), "other") == text_digest(CalibrationSettings("python"), "llama")


def test_sequences_without_room_beside_the_tokens_that_a_tokenizer_adds_are_refused(text) -> None:
    with pytest.raises(UserError, match=r"sequences of 2 tokens have no room for text: .* adds 2 to each; ask for"):
        calibration_calls(make_loaded_bert(), CalibrationSettings(text, 3, 2))


def test_a_message_on_too_few_tokens_says_how_much_of_a_file_was_read(tmp_path: Path) -> None:
    (tmp_path / "spaced.txt").write_text(("inn" + 60 * " ") * 1000)
    with pytest.raises(UserError, match=r"^the first 2,560 characters of calibration text '.*' have \d+ tokens as"):
        calibration_calls(make_loaded_bert(), CalibrationSettings(str(tmp_path / "spaced.txt"), 8, 20))


def test_texts_that_do_not_suffice(llama, text, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokens as llama splits it, and 900 sequences of 50 tokens need 45,000"):
        calibration_calls(llama, CalibrationSettings(text, 900, 50))
    with pytest.raises(UserError, match="cannot be read"):
        calibration_calls(llama, CalibrationSettings(str(tmp_path / "none.txt")))
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(UserError, match="contains no text"):
        calibration_calls(llama, CalibrationSettings(str(tmp_path / "empty.txt")))
    (tmp_path / "greek.txt").write_text("\u03ba\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 " * 300)
    bert = make_loaded_bert()
    with pytest.raises(UserError, match=r"\d+% of the tokens of calibration text '.*greek.txt' are unknown"):
        calibration_calls(bert, CalibrationSettings(str(tmp_path / "greek.txt"), 3, 12))
