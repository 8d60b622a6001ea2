"""GGUF files are opened once, with the content that gguf's own reader finds.

Covers ``models.from_gguf.reading``.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from written_ggufs import write_llama_gguf

from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.from_gguf.reading import BoundedReader, each_read_once


def test_it_reads_what_gguf_reads(tmp_path: Path) -> None:
    write_llama_gguf(path := tmp_path / "model.gguf")
    found, expected = BoundedReader(path), gguf.GGUFReader(path)
    assert type(found.data) is np.ndarray
    assert {key: field.contents() for key, field in found.fields.items()} == {
        key: field.contents() for key, field in expected.fields.items()
    }
    for one, other in zip(found.tensors, expected.tensors, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.data, other.data)


@pytest.mark.parametrize("is_described_first", [True, False])
def test_a_file_is_read_once_for_its_header_and_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_described_first: bool
) -> None:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    write_llama_gguf(path := tmp_path / "model.gguf")
    opened: list[object] = []
    make = BoundedReader.__init__

    def counted(self: BoundedReader, *arguments: object) -> None:
        opened.append(arguments)
        make(self, *arguments)

    monkeypatch.setattr(BoundedReader, "__init__", counted)
    checkpoint = open_checkpoint(path)
    if is_described_first:
        _ = checkpoint.config
        assert len(opened) == 1
    _ = checkpoint.folder
    assert len(opened) == 1 + is_described_first


def test_gguf_is_restored() -> None:
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    with each_read_once():
        assert (gguf.GGUFReader, gguf.get_tensor_name_map) != before
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before
