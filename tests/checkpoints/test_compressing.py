"""What ``from_pretrained`` loads of a compressed checkpoint is what compressing in memory gives, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoints.reloading import assert_same, in_memory, loaded
from models.architectures import ARCHITECTURES

from forgetmeter.checkpoints.compressing import compress_checkpoint

Save = Callable[..., Path]

RECIPES = (
    "l1_unstructured:overall:0.5",
    "l1_unstructured:attention.query:0.3:pool=matrix+l1_unstructured:attention:0.5",
)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_any_architecture(checkpoint: Save, tmp_path: Path, name: str, recipe: str) -> None:
    source = checkpoint(name)
    compress_checkpoint(str(source), recipe, tmp_path / "out")
    assert_same(loaded(tmp_path / "out"), in_memory(source, recipe))
