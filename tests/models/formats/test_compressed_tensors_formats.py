"""Checkpoints by the compressed-tensors library are read as the weights that it rounded to.

Covers ``models.on_disk.quantization``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models.formats.compressed_tensors_specimens import SPECIMENS, pruned
from models.formats.specimen import Specimen

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load
from forgetmeter.study.running import run

pytest.importorskip("compressed_tensors")

UNPACKED = [each for each in SPECIMENS if "zero points" in each.variant or each.format.split()[1][:2] in ("nv", "mx")]


@pytest.mark.parametrize("specimen", UNPACKED, ids=str)
def test_what_its_layers_cannot_compute_is_unpacked(specimen: Specimen, tmp_path: Path) -> None:
    """Zero points that are packed, and formats that run in bfloat16 alone."""
    plain = specimen.write(tmp_path / "model")
    checkpoint = open_checkpoint(tmp_path / "model")
    checkpoint.check()
    assert checkpoint.reading == "unpacked"
    tokens = torch.randint(2, 250, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found, expected = load(tmp_path / "model").model(tokens).logits, plain(tokens).logits
    # The library unpacks NVFP4 to bfloat16.
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-3 if "nvfp4" in specimen.format else 1e-5)


def test_weights_that_are_only_sparse_are_plain(tmp_path: Path) -> None:
    plain = pruned(tmp_path / "model")
    checkpoint = open_checkpoint(tmp_path / "model")
    assert (checkpoint.reading, checkpoint.packed) == ("plain", None)
    state = load(tmp_path / "model").model.state_dict()
    assert all(torch.equal(state[name], each) for name, each in plain.state_dict().items())
    compress_checkpoint(tmp_path / "model", "l1_unstructured:overall:0.5", tmp_path / "out", check=True)


def test_recipes_apply_to_what_is_unpacked(tmp_path: Path) -> None:
    UNPACKED[0].write(tmp_path / "model")
    recipes = ["baseline", "l1_unstructured:overall:0.5"]
    asked = {"models": [str(tmp_path / "model")], "recipes": recipes, "tasks": ["facts:templates=0"]}
    done = run({**asked, "evaluation.limit": 1, "output": str(tmp_path / "run")})
    assert (done.computed, done.failures) == (2, ())
