"""Fixtures for this folder: checkpoints of tiny random models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from models.architectures import make_architecture


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Save a tiny model of an architecture and return its folder."""

    def save(name: str, *, shard_size: str = "20KB", dtype: torch.dtype = torch.float32) -> Path:
        folder = tmp_path / f"source-{name}"
        make_architecture(name).to(dtype).save_pretrained(folder, max_shard_size=shard_size)
        return folder

    return save
