"""The method that CONTRIBUTING.md shows, taken from its text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import make_llama, make_tokenizer

from forgetmeter.compression.applying.compressor import compress
from forgetmeter.models.loading import wrap

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_example_is_a_method_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(# my_package/squares\.py\n.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(blocks[0], names)
    assert len(blocks[0].splitlines()) <= 30

    class Point:
        name = "squares"
        value = "my_package.squares:METHOD"

        def load(self) -> object:
            return names["METHOD"]

    monkeypatch.setattr("forgetmeter.specs.registry.plug_ins", lambda _group: (Point(),))
    before = wrap(make_llama(), make_tokenizer())
    after = compress(before, "squares:feed_forward.up:0.25")
    twin = compress(before, "l1_unstructured:feed_forward.up:0.25:pool=matrix")
    for name, parameter in after.model.state_dict().items():
        assert torch.equal(parameter, twin.model.state_dict()[name])
