"""The fused layout and the regular expression in docs/extending.md work as printed.

Covers ``models.roles.fused_layouts``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_models import make_llama, make_tokenizer
from torch import nn

from forgetmeter.compression.applying.compressor import compress
from forgetmeter.config.entries import recipes_of
from forgetmeter.errors import UserError
from forgetmeter.models.loading import wrap
from forgetmeter.models.roles import fused_layouts
from forgetmeter.models.roles.weight_map import weight_map

TEXT = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")


def test_the_example_layout_splits_a_fused_projection_as_described(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(# (?:queries_then_pairs|the entry in).*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)
    monkeypatch.setattr(fused_layouts, "_LAYOUTS", {**fused_layouts._LAYOUTS, **names["ENTRY"]})

    model = make_llama()
    model.config.model_type = "my_model"
    for layer in model.model.layers:
        layer.self_attn.qkv = nn.Linear(32, 4 * 8 + 2 * 16, bias=False)
    parts = {m.role.part: m.ranges for m in weight_map(model) if m.parameter == "model.layers.1.self_attn.qkv.weight"}
    assert parts == {"query": ((0, 32),), "key": ((32, 40), (48, 56)), "value": ((40, 48), (56, 64))}


def test_unknown_weights_are_named_and_can_be_selected_by_regex() -> None:
    model = make_llama()
    for layer in model.model.layers:
        layer.mixer = nn.ModuleDict({"in": nn.Linear(32, 8), "out": nn.Linear(8, 32)})
    loaded = wrap(model, make_tokenizer())
    with pytest.raises(UserError, match=r"4 weights .* \(first: model\.layers\.0\.mixer\.in\.weight\);"):
        compress(loaded, "l1_unstructured:attention:0.5")
    (block,) = re.findall(r"```yaml\n(recipes:.*?)```", TEXT, re.DOTALL)
    (entry,) = yaml.safe_load(block)["recipes"]
    recipe = recipes_of(entry)[1]
    after = compress(loaded, recipe)
    for name, parameter in after.model.named_parameters():
        zeros = float((parameter == 0).float().mean())
        assert (zeros > 0.2) == (".mixer." in name and name.endswith("weight")), name
    assert torch.count_nonzero(after.model.get_parameter("model.layers.0.mixer.in.weight")) < 32 * 8
