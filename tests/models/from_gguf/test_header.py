"""What a GGUF file's header tells, before and without its conversion."""

from __future__ import annotations

import struct
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from written_ggufs import write_gguf, write_llama_gguf

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Progress
from forgetmeter.models.checkpoint import Checkpoint, open_checkpoint
from forgetmeter.models.from_gguf import conversion
from forgetmeter.models.from_gguf.header import whole
from forgetmeter.models.from_gguf.reading import each_read_once
from forgetmeter.models.from_gguf.settings import differing_settings
from forgetmeter.study.running import check_study, check_tasks, reader, run

PRUNE = "l1_unstructured:overall:0.5"


@pytest.fixture
def unconverted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail on any attempt to convert a file."""

    def convert(*_: object) -> None:
        pytest.fail("the file was converted")

    monkeypatch.setattr(conversion, "_convert", convert)


@pytest.mark.usefixtures("unconverted")
def test_a_model_is_opened_and_planned_from_its_header(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, rope__freq_base=1234.0)
    study = {"models": [str(path)], "recipes": [PRUNE], "tasks": ["facts"], "output": str(tmp_path / "run")}
    checked = check_study(reader(study))
    check_tasks(checked, Progress())
    assert len(checked.missing) == 2
    with pytest.raises(UserError, match="takes a fraction from 0 to 1"):
        compress_checkpoint(path, "l1_unstructured:overall:1.5", tmp_path / "out")


def test_the_header_gives_the_model_that_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, pre="smollm", rope__freq_base=1234.0)
    header = open_checkpoint(str(path))
    header.check()
    folder = Checkpoint(replace(header.location, path=header.folder))
    assert header.config.to_dict() == {**folder.config.to_dict(), "_name_or_path": header.config._name_or_path}
    assert header.config.rope_parameters["rope_theta"] == 1234.0
    assert header.matrices == folder.matrices
    assert header.tokenizer("in\n\n12")["input_ids"] == folder.tokenizer("in\n\n12")["input_ids"]
    tensors = {name: (tensor.shape, tensor.dtype) for name, tensor in header.skeleton.state_dict().items()}
    assert tensors == {name: (tensor.shape, tensor.dtype) for name, tensor in folder.skeleton.state_dict().items()}


def test_a_run_converts_once_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.gguf"
    write_llama_gguf(path)
    stages: list[str] = []
    listener = Progress()
    monkeypatch.setattr(listener, "stage", stages.append)
    study = {"models": [str(path)], "tasks": ["facts:templates=0"], "evaluation.limit": 1}
    for name in ("first", "second"):
        run({**study, "recipes": ["baseline"], "output": str(tmp_path / name)}, progress=listener)
        # Converted without a word would be as slow.
        monkeypatch.setattr(conversion, "_convert", None)
    once = ["reading the header of model.gguf", "converting model.gguf to plain weights, once"]
    assert [stage for stage in stages if stage.endswith(("model.gguf", "once")) and "loading" not in stage] == once


@pytest.mark.parametrize(
    ("tensors", "settings", "says"),
    [
        ({"rope_freqs.weight": np.ones(4, dtype=np.float32)}, {}, r"ignores, such as rope_freqs\.weight"),
        ({"blk.0.attn_q.bias": np.ones(32, dtype=np.float32)}, {}, r"such as blk\.0\.attn_q\.bias"),
        ({}, {"rope__scaling__type": "yarn", "rope__scaling__factor": 4.0}, r"rope\.scaling\.type = yarn"),
        ({}, {"attention__head_dim": 5.0}, r"attention\.head_dim = 5"),
        ({}, {"rope__scaling__factor": 4.0}, r"rope\.scaling\.factor = 4"),
        ({}, {"rope__scale_linear": 4.0}, r"rope\.scale_linear = 4"),
        ({}, {"attention__sliding_window": 8.0}, r"attention\.sliding_window = 8"),
        ({}, {"logit_scale": 0.5}, r"logit_scale = 0\.5"),
        ({}, {"attention__scale": 0.5}, r"attention\.scale = 0\.5"),
        ({}, {"a_setting_of_next_year": 1.0}, r"a_setting_of_next_year = 1"),
    ],
)
@pytest.mark.usefixtures("unconverted")
def test_a_file_that_transformers_reads_only_in_part_is_refused(
    tmp_path: Path, tensors: dict[str, NDArray[np.float32]], settings: dict[str, Any], says: str
) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, tensors=tensors, **settings)
    with pytest.raises(UserError, match=says):
        open_checkpoint(str(path)).check()


@pytest.mark.usefixtures("unconverted")
@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        ("blk.0.ffn_down.weight", r"lacks 1 weight, such as model\.layers\.0\.mlp\.down_proj\.weight"),
        ("output_norm.weight", r"lacks 1 weight, such as model\.norm\.weight"),
        (
            "blk.0.attn_q.weight",
            r"attn_q\.weight has the shape \[8, 32\] in the GGUF file, but \[32, 32\] according to",
        ),
    ],
)
def test_missing_tensors_and_other_sizes_are_refused(tmp_path: Path, tensor: str, says: str) -> None:
    path = tmp_path / "model.gguf"
    values = np.ones((8, 32), dtype=np.float32) if "attn_q" in tensor else None
    write_llama_gguf(path, tensors={tensor: values})
    with pytest.raises(UserError, match=says):
        open_checkpoint(str(path)).check()


@pytest.mark.usefixtures("unconverted")
@pytest.mark.parametrize(
    "setting",
    ["context_length", "embedding_length", "block_count", "attention__head_count", "attention__layer_norm_rms_epsilon"],
)
def test_a_file_without_a_setting_that_has_no_default_is_refused(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, **{setting: None})
    says = f"the GGUF file lacks llama.{setting.replace('__', '.')}"
    with pytest.raises(UserError, match=says):
        open_checkpoint(str(path)).check()


@pytest.mark.usefixtures("unconverted")
def test_a_file_without_an_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"general.architecture", b"general.architectura", 1))
    with pytest.raises(UserError, match=r"the GGUF file lacks general\.architecture, without which it is incomplete"):
        open_checkpoint(str(path)).check()


def test_without_a_base_of_rotary_embeddings_it_is_that_of_llama_cpp(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path)
    config = open_checkpoint(str(path)).config
    assert config.rope_parameters["rope_theta"] == 10_000
    # As in configurations of Gemma 3.
    config.rope_parameters["rope_theta"] = 1_000_000.0
    assert list(differing_settings(config, {})) == ["rope.freq_base = 10000.0"]
    assert list(differing_settings(config, {"rope.freq_base": 1e6})) == []


@pytest.mark.usefixtures("unconverted")
def test_a_file_of_another_type_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "adapter.gguf"
    write_llama_gguf(path, file_type="adapter")
    with pytest.raises(UserError, match=r"is not a model \(its type is 'adapter'\); name the file of a model"):
        open_checkpoint(str(path)).check()


@pytest.mark.usefixtures("unconverted")
def test_unknown_rules_for_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, pre="no-such-rules")
    with pytest.raises(UserError, match="splits words by the rules of 'no-such-rules'"):
        open_checkpoint(str(path)).check()


def test_a_whole_file_passes_and_any_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path)
    with each_read_once():
        whole(path, "./model.gguf")
    content = path.read_bytes()
    for length in (5, 30, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with (
            each_read_once(),
            pytest.raises(UserError, match=r"model './model\.gguf': the GGUF file is truncated or damaged"),
        ):
            whole(path, "./model.gguf")


@pytest.mark.timeout(60)
def test_lists_nested_deeper_than_python_follows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    nested = struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 100_000
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + nested + bytes(32))
    with each_read_once(), pytest.raises(UserError, match="the GGUF file is truncated or damaged"):
        whole(path, "./model.gguf")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["kv pairs", "tensors", "key", "string", "array", "array of strings", "nested array"])
def test_lengths_beyond_the_file_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    key = struct.pack("<Q", 20) + b"general.architecture"
    huge = 1 << 50
    rest = {
        "kv pairs": b"",
        "tensors": b"",
        "key": struct.pack("<Q", huge) + b"x",
        "string": key + struct.pack("<IQ", 8, huge),
        "array": key + struct.pack("<IIQ", 9, 4, huge),
        "array of strings": key + struct.pack("<IIQ", 9, 8, huge),
        "nested array": key + struct.pack("<IIQIQ", 9, 9, huge, 4, huge),
    }[kind]
    counts = {"kv pairs": (0, huge), "tensors": (huge, 0)}.get(kind, (0, 1))
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, *counts) + rest)
    with each_read_once(), pytest.raises(UserError, match="truncated or damaged"):
        whole(path, "./model.gguf")


@pytest.mark.timeout(20)
def test_a_number_of_blocks_beyond_any_model_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path)
    before = b"llama.block_count" + struct.pack("<I", 4)
    assert before + struct.pack("<I", 1) in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(before + struct.pack("<I", 1), before + struct.pack("<I", 10**9)))
    with pytest.raises(UserError, match=r"damaged \(block_count is 1000000000 but must be from 0 to 10,000\)"):
        open_checkpoint(str(path)).check()


@pytest.mark.parametrize("damage", ["bias", "no tokenizer", "truncated"])
def test_errors_name_the_model_as_the_user_did(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by its place inside a package, nor by the folder in which it is read."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "made_up_package" / "model.gguf"
    path.parent.mkdir()
    bias = {"blk.0.attn_q.bias": np.ones(32, dtype=np.float32)} if damage == "bias" else None
    write_gguf(path) if damage == "no tokenizer" else write_llama_gguf(path, tensors=bias)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="^model 'package:made_up_package': ") as refused:
        open_checkpoint("package:made_up_package").check()
    assert str(tmp_path) not in str(refused.value)
    assert tempfile.gettempdir() not in str(refused.value)
