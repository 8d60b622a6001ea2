"""What a GGUF file says of its type and its maker."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from models.formats.gguf_specimens import by_gguf
from written_ggufs import write_llama_gguf

from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.from_gguf.record import read_record


def test_a_file_is_called_by_its_own_type_and_maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add = GGUFWriter.add_block_count

    def with_type(writer: GGUFWriter, count: int) -> None:
        add(writer, count)
        writer.add_file_type(LlamaFileType.MOSTLY_Q4_K_M)
        writer.add_quantized_by("Some One")

    monkeypatch.setattr(GGUFWriter, "add_block_count", with_type)
    write_llama_gguf(tmp_path / "model.gguf")
    source = open_checkpoint(tmp_path / "model.gguf").packed
    assert source is not None
    assert (source.format, source.maker) == ("GGUF, Q4_K_M", "Some One")


def test_a_file_without_a_type_is_called_by_that_of_most_bytes(tmp_path: Path) -> None:
    write_llama_gguf(tmp_path / "model.gguf", width=64, stored_as=by_gguf(GGMLQuantizationType.Q8_0))
    source = open_checkpoint(tmp_path / "model.gguf").packed
    assert source is not None
    assert (source.format, source.maker) == ("GGUF, mostly Q8_0", "")


def test_without_a_record_only_the_format_is_known(tmp_path: Path) -> None:
    assert read_record(tmp_path) == ("GGUF", "", {})
