"""AWQ checkpoints are read as exactly the plain weights that they stand for.

The checkpoints are packed by ``packed_checkpoints`` from the definition of AutoAWQ's layout, not by the package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models.unpacking.packed_checkpoints import assert_same, awq_packer, changed, packed_checkpoint, wide_llama
from torch import Tensor

from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.files.model_files import TensorHeader
from forgetmeter.models.unpacking.awq import Awq
from forgetmeter.models.unpacking.layout import LayoutError

Q_PROJ = "model.layers.0.self_attn.q_proj"


def awq(**settings: Any) -> dict[str, Any]:
    return {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"} | settings


@pytest.mark.parametrize("group_size", [32, 16, -1])
@pytest.mark.parametrize("zero_point", [True, False])
def test_groups_and_zero_points(group_size: int, zero_point: bool, tmp_path: Path) -> None:
    packer = awq_packer(group_size=group_size, symmetric=not zero_point)
    method = awq(group_size=group_size, zero_point=zero_point)
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, packer, method))


def test_the_names_of_autoawqs_own_settings_and_layers_that_are_not_quantized(tmp_path: Path) -> None:
    method = {"quant_method": "awq", "w_bit": 4, "q_group_size": 32, "zero_point": True, "version": "GEMM"}
    method |= {"modules_to_not_convert": ["v_proj"]}
    model = packed_checkpoint(
        wide_llama(), tmp_path, awq_packer(), method, is_packed=lambda name: "proj" in name and "v_proj" not in name
    )
    assert_same(tmp_path, model)
    found = open_checkpoint(tmp_path)
    assert found.packed is not None
    assert (found.packed.format, found.reading) == ("awq, 4 bits, groups of 32", "unpacked")


def test_auto_rounds_name_of_the_layout(tmp_path: Path) -> None:
    method = {"quant_method": "auto-round", "bits": 4, "group_size": 32, "packing_format": "auto_round:auto_awq"}
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, awq_packer(), method))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("awq") / "model"
    packed_checkpoint(wide_llama(), folder, awq_packer(), awq())
    return folder


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"version": "gemv"}, "in the layout 'gemv' with 4 bits, which is not supported"),
        ({"version": "marlin"}, "in the layout 'marlin' with 4 bits"),
        (
            {"bits": 5},
            "in the layout 'gemm' with 5 bits, which is not supported (supported: gemm with 4 bits; try AutoAWQ or",
        ),
        ({"group_size": 128}, "which does not match a group size of 128"),
    ],
)
def test_other_layouts_are_refused(settings: dict[str, Any], says: str, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        open_checkpoint(changed(checkpoint, tmp_path / "other", dict, **settings)).check()
    assert says in str(error.value)


def test_a_last_group_that_is_not_full_is_refused() -> None:
    """Its places in 160 inputs would be read as two groups of 80."""
    shapes = {"qweight": ("I32", (160, 8)), "qzeros": ("I32", (2, 8)), "scales": ("F16", (2, 64))}
    parts = {part: TensorHeader(part, dtype, shape, Path(), 0) for part, (dtype, shape) in shapes.items()}
    with pytest.raises(LayoutError, match="has 2 groups for 160 input units, which does not match a group size of 128"):
        Awq({"group_size": 128}).shape(parts)
    assert Awq({"group_size": 80}).shape(parts) == (64, 160)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda each: each.pop(f"{Q_PROJ}.qzeros"), "lacks qzeros"),
        (lambda each: each.pop(f"{Q_PROJ}.scales"), "lacks scales"),
        (
            lambda each: each.update({f"{Q_PROJ}.qzeros": torch.zeros(1, 8, dtype=torch.int32)}),
            "has scales of shape [2, 64], qweight of shape [64, 8] and qzeros of shape [1, 8], which do not match",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    change: Callable[[dict[str, Tensor]], Any], says: str, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        open_checkpoint(changed(checkpoint, tmp_path / "model", change)).check()
    assert f"{Q_PROJ} {says}" in str(error.value)
