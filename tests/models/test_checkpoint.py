"""A run opens each model file once and checks each recipe once.

Covers ``study.preparing``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from made_up_task import MadeUpTask, plug_in

from forgetmeter.compression.applying import compressor
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.files import model_files
from forgetmeter.models.safe_loading import pretrained
from forgetmeter.study import preparing
from forgetmeter.study.running import run


class Counted:
    """Wraps a function or class and counts its calls by name."""

    def __init__(self, wrapped: Any, calls: Counter[str], name: str) -> None:
        self._wrapped, self._calls, self._name = wrapped, calls, name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self._calls[self._name] += 1
        return self._wrapped(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        return Counted(found, self._calls, self._name) if name == "from_pretrained" else found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()
    for module, name in (
        (pretrained, "AutoConfig"),
        (pretrained, "AutoTokenizer"),
        (model_files, "safe_open"),
        (preparing, "recipe_problems"),
        (compressor, "recipe_problems"),
    ):
        monkeypatch.setattr(module, name, Counted(getattr(module, name), counted, name))
    return counted


def test_a_run_opens_each_file_of_a_model_once(
    llama_folder: Path, tmp_path: Path, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(monkeypatch, {"made_up": MadeUpTask})
    study = {"models": [str(llama_folder)], "recipes": ["dynamic_int8:overall"], "tasks": ["made_up"]}
    assert run(study | {"output": str(tmp_path / "run")}).failures == ()
    assert calls == {"AutoConfig": 1, "AutoTokenizer": 1, "safe_open": 1, "recipe_problems": 2}


def test_parts_are_read_on_demand_and_cached(llama_folder: Path, calls: Counter[str]) -> None:
    checkpoint = open_checkpoint(str(llama_folder))
    assert calls == {"safe_open": 1}
    assert checkpoint.skeleton is checkpoint.skeleton
    assert checkpoint.tokenizer is checkpoint.tokenizer
    assert (checkpoint.family, checkpoint.quantization) == ("decoder", None)
    assert [file.name for file in checkpoint.files] == ["model.safetensors"]
    assert {header.file for header in checkpoint.headers} == set(checkpoint.files)
    assert calls == {"safe_open": 1, "AutoConfig": 1, "AutoTokenizer": 1}
