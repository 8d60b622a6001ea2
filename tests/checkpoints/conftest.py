"""Fixtures for this folder: checkpoints of tiny random models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from models.architectures import make_architecture

from forgetmeter.config.study import CalibrationSettings


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Save a tiny model of an architecture and return its folder."""

    def save(name: str, *, shard_size: str = "20KB", dtype: torch.dtype = torch.float32) -> Path:
        folder = tmp_path / f"source-{name}"
        make_architecture(name).to(dtype).save_pretrained(folder, max_shard_size=shard_size)
        return folder

    return save


@pytest.fixture
def text(tmp_path: Path) -> CalibrationSettings:
    """Write a short calibration text."""
    path = tmp_path / "text.txt"
    path.write_text("A text of several words that says nothing new. " * 50)
    return CalibrationSettings(str(path), sequences=6, length=20)
