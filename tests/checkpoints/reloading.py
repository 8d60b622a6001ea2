"""Helpers that reload a compressed checkpoint and compare it with in-memory compression."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, PreTrainedModel

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.compression.applying.compressor import compress
from forgetmeter.errors import UserError
from forgetmeter.models.family import auto_class, family_of
from forgetmeter.models.loaded import Loaded


def loaded(folder: Path, **options: object) -> PreTrainedModel:
    """Load a model with plain ``from_pretrained``; weights must be neither missing nor unexpected."""
    config = AutoConfig.from_pretrained(folder)
    kind = auto_class(family_of(config, folder.name), config.model_type)
    model, report = kind.from_pretrained(folder, output_loading_info=True, **options)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return model.eval()


def in_memory(folder: Path, recipe: str, *, seed: int = 0, **options: object) -> PreTrainedModel:
    """Load a model whole and compress it."""
    model = loaded(folder, **options)
    return compress(Loaded(model, None, family_of(model.config, "tiny"), "tiny"), recipe, seed=seed).model


def assert_same(one: PreTrainedModel, other: PreTrainedModel) -> None:
    """Assert that all parameters and buffers are bitwise equal and of the same dtype."""
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype, name
        assert torch.equal(_bits(tensor), _bits(theirs[name])), name


def assert_refused(source: Path, recipe: str, out: Path, *, format: str, says: str) -> None:
    """Assert that a recipe's result cannot be written in a format, and that nothing is left beside the source."""
    with pytest.raises(UserError) as caught:
        compress_checkpoint(str(source), recipe, out, format=format)
    assert says in str(caught.value)
    assert {path.name for path in out.parent.iterdir()} == {source.name}


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
