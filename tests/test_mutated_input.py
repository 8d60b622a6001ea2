"""Files with random damage: they are read as they were meant, or refused in one line, never with another error.

``FORGETMETER_EXAMPLES`` is the number of damaged files of each kind; the default takes about a minute in all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import make_llama, make_tokenizer
from written_ggufs import write_llama_gguf

from forgetmeter.config.study_file import read_study_file
from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.importing.table.table import TableColumns, import_table
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.probes.loading import load_task
from forgetmeter.results.results import open_run
from forgetmeter.specs.recipe import parse_recipe

EXAMPLES = int(os.environ.get("FORGETMETER_EXAMPLES", "60"))
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES < 1000, suppress_health_check=list(HealthCheck)
)
_INSERTED = st.one_of(
    st.binary(max_size=6), st.sampled_from([b"\0", b"\xff\xfe", b'"', b"[", b"{", b"&a [*a]", b"=1+1"])
)
Damage = list[tuple[float, int, bytes]]
damages: st.SearchStrategy[Damage] = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), _INSERTED), min_size=1, max_size=4
)
"""Where, as a share of the file, how many bytes are replaced, and by what."""
bits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=3)
"""Where, as a share of the file, and which bit is flipped."""


def damaged(content: bytes, damage: Damage, *, within: int | None = None) -> bytes:
    for share, replaced, inserted in damage:
        place = int(share * min(len(content), within or len(content)))
        content = content[:place] + inserted + content[place + replaced :]
    return content


def refused_or_read(path: Path, content: bytes, read: Callable[[Path], object]) -> None:
    path.write_bytes(content)
    try:
        read(path)
    except UserError as error:
        # Some list all problems, one per line.
        assert all(error.messages if isinstance(error, ManyUserError) else [str(error)])
        assert isinstance(error, ManyUserError) or "\n" not in str(error)


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(tempfile.mkdtemp())


@given(st.lists(st.sampled_from([*"0.5:+()[]/=-%\\ ", "l1_unstructured", "overall", "regex(", "layers[", "n=2"])))
@fuzzed
def test_recipes(parts: list[str]) -> None:
    try:
        recipe = parse_recipe("".join(parts))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert parse_recipe(str(recipe)) == recipe


STUDY = b"""models: [standard:decoder, "./folder"]
recipes:
  - l1_unstructured:overall:{0.1..0.9}
  - {method: round_to_nearest, scope: {regex: "mlp|attn"}, level: 4}
tasks: [facts, "file:questions.jsonl"]
evaluation: {limit: 10, dtype: float32, noise_floor: true}
output: runs/mine
"""


@given(damages)
@fuzzed
def test_studies(folder: Path, damage: Damage) -> None:
    refused_or_read(folder / "study.yaml", damaged(STUDY, damage), read_study_file)


QUESTIONS = {
    ".jsonl": b'{"prompt": "1 + 1 is", "choices": ["two", "three"], "answer": "two", "group": "sums"}\n' * 3,
    ".csv": b'prompt,choices,answer\n"Ice is","[""cold"", ""hot""]",cold\n"Fire is","[""cold"", ""hot""]",1\n',
}


@pytest.mark.parametrize("suffix", QUESTIONS)
@given(damage=damages)
@fuzzed
def test_questions(folder: Path, suffix: str, damage: Damage) -> None:
    path = folder / f"questions{suffix}"
    refused_or_read(path, damaged(QUESTIONS[suffix], damage), lambda file: load_task(f"file:{file}"))


TABLES = {
    ".csv": b"id,model,ok\na,baseline,true\nb,baseline,false\na,small,1\nb,small,0\n",
    ".jsonl": b'{"id": "a", "model": "baseline", "ok": true}\n{"id": "a", "model": "small", "ok": false}\n',
}


@pytest.mark.parametrize("suffix", [*TABLES, ".parquet"])
@given(damage=damages)
@fuzzed
def test_tables(folder: Path, suffix: str, damage: Damage) -> None:
    if suffix == ".parquet":
        whole = folder / "whole.parquet"
        pd.DataFrame({"id": ["a", "a"], "model": ["baseline", "small"], "ok": [True, False]}).to_parquet(whole)
        content = whole.read_bytes()
    else:
        content = TABLES[suffix]
    columns = TableColumns(item="id", variant="model", correct="ok")
    refused_or_read(folder / f"table{suffix}", damaged(content, damage), lambda file: import_table(file, columns))


@given(damages)
@fuzzed
def test_headers_of_gguf_files(folder: Path, damage: Damage) -> None:
    whole = folder / "whole.gguf"
    if not whole.exists():
        write_llama_gguf(whole)
    # Nearly all of the file is its vocabulary; its first part has the sizes.
    content = damaged(whole.read_bytes(), damage, within=600)
    refused_or_read(folder / "model.gguf", content, lambda file: open_checkpoint(file).check())


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
@given(damage=damages)
@fuzzed
def test_files_of_models(folder: Path, name: str, damage: Damage) -> None:
    model = folder / "model"
    if not model.exists():
        make_llama().save_pretrained(model)
        make_tokenizer().save_pretrained(model)
    copy = folder / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(model, copy)
    content = damaged((model / name).read_bytes(), damage, within=3000)
    refused_or_read(copy / name, content, lambda file: open_checkpoint(file.parent).check())


@given(file=st.floats(0, 1, exclude_max=True), flips=bits)
@fuzzed
def test_flipped_bits_of_a_run_change_no_answer(full_run: str, file: float, flips: list[tuple[float, int]]) -> None:
    """A damaged file is left out or refused; whatever is still read is as it was."""
    whole = open_run(full_run).outcomes.set_index(["model", "recipe", "task", "item_id"])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "run"
        shutil.copytree(full_run, copy)
        files = sorted(path for path in copy.rglob("*") if path.is_file())
        path = files[int(file * len(files))]
        content = bytearray(path.read_bytes())
        for share, bit in flips:
            content[int(share * len(content))] ^= 1 << bit
        path.write_bytes(bytes(content))
        try:
            found = open_run(copy).outcomes.set_index(["model", "recipe", "task", "item_id"])
        except UserError as error:
            assert "\n" not in str(error)
        else:
            pd.testing.assert_frame_equal(found, whole.loc[found.index], check_like=True)
