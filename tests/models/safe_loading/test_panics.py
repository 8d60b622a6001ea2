"""Tokenizers that make the tokenizers library panic, which Python's ``Exception`` does not cover."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import make_llama, make_tokenizer
from tokenizers import normalizers

from forgetmeter.cli.main import app
from forgetmeter.errors import UserError
from forgetmeter.models.loading import wrap
from forgetmeter.models.safe_loading.panics import PanicError, panics_as_errors, without_panic_messages
from forgetmeter.records.item import Item, Request, Requests
from forgetmeter.scoring.engine import Engine


def on_reading_a_normalizer(stored: dict[str, Any]) -> None:
    """As a truncated file of T5 or XLM-R."""
    stored["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}


def on_reading_merges(stored: dict[str, Any]) -> None:
    vocabulary = {**stored["model"]["vocab"], "ab": 261}
    stored["model"].update(continuing_subword_prefix="####", merges=["a b"], vocab=vocabulary)


def on_reading_a_text(stored: dict[str, Any]) -> None:
    stored["normalizer"] = {"type": "Replace", "pattern": {"String": ""}, "content": "x"}


@pytest.mark.parametrize("damage", [on_reading_a_normalizer, on_reading_merges, on_reading_a_text])
def test_a_damaged_tokenizer_is_refused_in_one_line_before_any_work(
    damage: Callable[[dict[str, Any]], None],
    llama_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder, out = tmp_path / "model", tmp_path / "out"
    shutil.copytree(llama_folder, folder)
    stored = json.loads((folder / "tokenizer.json").read_text())
    damage(stored)
    (folder / "tokenizer.json").write_text(json.dumps(stored))
    request = ["run", "--dry-run", "--recipes", "l1_unstructured:overall:0.5", "--tasks", "facts", "--out", str(out)]
    with pytest.raises(UserError, match=r"^model '.*/model': its tokenizer is missing or damaged \(.+\)$"):
        app([*request, "--model", str(folder)], standalone_mode=False)
    assert "panicked" not in capfd.readouterr().err
    assert not out.exists()


def test_a_panic_while_items_are_read_names_the_model() -> None:
    tokenizer = make_tokenizer()
    loaded = wrap(make_llama(), tokenizer)
    engine = Engine(loaded)
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("", "x")
    item = Item("own/0", "", Requests([Request("the", " inn"), Request("the", " tin")]), ("inn", "tin"), (0,))
    with pytest.raises(UserError, match="^model 'wrapped': its tokenizer is damaged"):
        engine.prepare([item])


class PanicException(BaseException):
    pass


def test_only_what_is_written_around_a_panic_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with without_panic_messages():
        os.write(2, b"a warning\n")
    with pytest.raises(PanicError, match="index out of bounds"), without_panic_messages(), panics_as_errors():
        os.write(2, b"thread panicked\n")
        raise PanicException("index out of bounds")
    with pytest.raises(ValueError, match="other"), without_panic_messages(), panics_as_errors():
        os.write(2, b"an error\n")
        raise ValueError("other")
    assert capfd.readouterr().err == "a warning\nan error\n"


def test_interruptions_stay_what_they_are() -> None:
    with pytest.raises(KeyboardInterrupt), panics_as_errors():
        raise KeyboardInterrupt
