"""Checkpoints saved from inside a wrapper are named for it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.on_disk.wrapper_names import refuse_wrapper_names


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("^", "_orig_mod.", "was saved from a model compiled by torch.compile: 20 of 20 tensors have '_orig_mod.'"),
        (r"^model\.", "model._orig_mod.", "was saved from a model compiled by torch.compile: 20 of 20"),
        (r"\.mlp\.", "._fsdp_wrapped_module.mlp.", "a model sharded by FSDP"),
        ("^", "base_model.model.", "an adapter model of peft"),
        ("^", "module.", "a model wrapped in DataParallel"),
    ],
)
def test_the_wrapper_is_named_before_any_work(
    llama_folder: Path, tmp_path: Path, old: str, new: str, says: str
) -> None:
    folder = Path(shutil.copytree(llama_folder, tmp_path / "wrapped"))
    tensors = load_file(folder / "model.safetensors")
    renamed = {re.sub(old, new, name): tensor for name, tensor in tensors.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=says):
        open_checkpoint(str(folder)).check()


def test_ordinary_names_are_accepted() -> None:
    refuse_wrapper_names(["model.layers.0.weight", "model.module.x.weight", "lm_head.weight"], "mine")
    refuse_wrapper_names([], "mine")
