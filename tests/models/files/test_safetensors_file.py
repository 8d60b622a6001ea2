"""Reading and writing safetensors files, against the safetensors library.

Covers ``models.files.writer``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from forgetmeter.errors import UserError
from forgetmeter.models.files.model_files import TensorHeader, tensor_headers
from forgetmeter.models.files.safetensors_file import SafetensorsWriter, entry_room, stored_tensor
from forgetmeter.models.files.writer import CheckpointWriter

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool)


def tensors_of(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"matrix": (3, 5), "number": (), "nothing": (0, 4), "blöcke.0": (2, 3, 4, 5)}
    return {name: (torch.rand(shape, generator=generator) * 9).to(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_library_reads_what_is_written(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = tensors_of(dtype)
    with SafetensorsWriter(tmp_path / "file", header_room=64 + sum(map(entry_room, tensors))) as writer:
        for name, tensor in tensors.items():
            writer.append(name, tensor)
        writer.finish({"format": "pt"})
    read = load_file(tmp_path / "file")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) and read[name].dtype == dtype for name, tensor in tensors.items())
    with safe_open(tmp_path / "file", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("dtype", DTYPES)
def test_files_of_the_library_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = tensors_of(dtype)
    save_file(tensors, tmp_path / "file", metadata={"format": "pt"})
    read = {header.name: stored_tensor(header).read() for header in tensor_headers([tmp_path / "file"])}
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) and read[name].dtype == dtype for name, tensor in tensors.items())


def test_strides_do_not_matter(tmp_path: Path) -> None:
    tensor = torch.arange(12.0).view(3, 4).t()
    with SafetensorsWriter(tmp_path / "file", header_room=500) as writer:
        writer.append("turned", tensor)
        writer.finish({})
    assert torch.equal(load_file(tmp_path / "file")["turned"], tensor)


@pytest.mark.parametrize(
    "content", [b"", b"\x05", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"\x02" + b"\0" * 7 + b"{"]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises((SafetensorError, OSError)):
        tensor_headers([tmp_path / "file"])


def test_an_unknown_dtype(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its dtype 'F4' is not supported; fetch it again"):
        stored_tensor(TensorHeader("x", "F4", (2,), tmp_path / "file", 8))


@given(st.lists(st.tuples(st.sampled_from(DTYPES), st.integers(0, 40)), max_size=12), st.integers(1, 200))
@settings(deadline=None, max_examples=40)
def test_any_mixture_of_dtypes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[torch.dtype, int]], most: int
) -> None:
    """Readers reject tensors whose offset is not a multiple of their element size."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tensors = {f"t{number}": torch.arange(length).to(dtype) for number, (dtype, length) in enumerate(kinds)}
    with CheckpointWriter(folder, tensors, max_shard_bytes=most) as writer:
        for name, tensor in tensors.items():
            writer.append(name, tensor)
        files = writer.finish()
    read = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    assert (folder / "model.safetensors.index.json").exists() == (len(files) > 1)
    for file in files:
        sizes = [tensor.nbytes for tensor in load_file(file).values()]
        assert sum(sizes) <= most or sum(size > 0 for size in sizes) == 1
