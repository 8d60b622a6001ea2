"""The content of ``study.json``, of this and of other versions, and who reads it."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import forgetmeter
from forgetmeter.records.imported import Origin
from forgetmeter.records.packed_source import PackedSource
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.specs.method_facts import FOR_EARLIER_RUNS, MethodFacts

SOURCE = Path(forgetmeter.__file__).parent
WRITERS = {"study/document.py", "importing/imported_run.py"}
WHOLE = {"results/results.py", "report/formats/show_json.py"}
"""They pass all of it on, unread."""
OTHER_DOCUMENTS = {"cli/commands/verify_command.py", "report/formats/sensitivity_json.py", "report/gate/gate_json.py"}
"""They write JSON of their own, with versions of its own."""


def test_nothing_else_reads_it() -> None:
    """A key of the format, or the content as it is stored, outside the package that owns it."""
    texts = {path.relative_to(SOURCE).as_posix(): path.read_text() for path in SOURCE.rglob("*.py")}
    others = {name: text for name, text in texts.items() if not name.startswith("runs/")}
    keys = re.compile(r"""["'](identity|model_content|schema_version)["']""")
    assert {name for name, text in others.items() if keys.search(text)} == WRITERS | OTHER_DOCUMENTS
    whole = re.compile(r"(?<!forgetmeter)\.(read_)?study(\(\))?\.document\b")
    assert {name for name, text in others.items() if whole.search(text)} == WHOLE


def test_what_is_missing_or_damaged_is_unknown() -> None:
    for document in ({}, {"identity": {}}, {"imported": 3, "sources": [1], "methods": None}):
        study = StudyRecord(document)
        assert (study.models, study.recipes, study.tasks, study.candidates) == ((), (), (), {})
        assert (study.origins, study.sources, study.methods) == ({}, {}, FOR_EARLIER_RUNS)
        assert (study.hardware, study.versions, study.settings) == ({}, {}, {"schema": None})


def test_origins_are_read_back() -> None:
    origin = Origin("lm-eval", {"a.jsonl": "f0"}, {"model": "hf"}, ("one note",))
    stored = {"a": {**asdict(origin), "notes": ["one note"]}, "b": {"tool": "a table", "files": 3}, "c": "?"}
    assert StudyRecord({"imported": stored}).origins == {"a": origin, "b": Origin("a table", {})}


def test_recorded_facts_are_read_back() -> None:
    facts = MethodFacts("structured", "{percent} of rows", ("dim",), "l1_unstructured")
    study = {"methods": {"rows": {**asdict(facts), "unsaid": ["dim"]}}}
    assert StudyRecord(study).methods == {**FOR_EARLIER_RUNS, "rows": facts}


def test_a_built_in_method_recorded_without_a_phrase_is_called_by_todays() -> None:
    recorded = {"methods": {"svd": {"kind": "low_rank", "phrase": ""}, "n_m": {"phrase": "sparse"}}}
    found = StudyRecord(recorded).methods
    assert (found["svd"].phrase, found["n_m"].phrase) == (FOR_EARLIER_RUNS["svd"].phrase, "sparse")


def test_facts_of_other_versions_count_as_unknown() -> None:
    for methods in (None, ["x"], {"a": 3}):
        assert StudyRecord({"methods": methods}).methods == FOR_EARLIER_RUNS
    found = StudyRecord({"methods": {"a": {"kind": "by_magic", "unsaid": 3, "phrase": None}}}).methods
    assert found["a"] == MethodFacts()


def test_a_run_of_an_earlier_version_does_not_say_how_its_weights_were_read() -> None:
    said = {"format": "GGUF", "bytes": 3, "dense_bytes": 4}
    assert StudyRecord({"sources": {"m": said}}).sources == {"m": PackedSource("GGUF", 3, 4)}
    guessed = StudyRecord({"sources": {"m": said | {"reading": "guessed"}}}).sources["m"]
    assert guessed.reading is None


def test_who_made_a_checkpoint_and_its_bits_by_role_are_read() -> None:
    said = {"format": "GGUF, Q4_K_M", "bytes": 3, "dense_bytes": 4, "reading": "unpacked"}
    known = {**said, "maker": "M", "bits": {"attention": 4.5, "head": 8}}
    found = StudyRecord({"sources": {"m": known}}).sources["m"]
    assert found == PackedSource("GGUF, Q4_K_M", 3, 4, "unpacked", "M", {"attention": 4.5, "head": 8})
    damaged = StudyRecord({"sources": {"m": {**said, "maker": None, "bits": {"head": "x", "other": True}}}}).sources[
        "m"
    ]
    assert damaged == PackedSource("GGUF, Q4_K_M", 3, 4, "unpacked")


@pytest.mark.parametrize("said", [None, {}, {"m": 3}, {"m": {"bytes": "many", "dense_bytes": 4}}, {"m": {}}])
def test_damaged_records_of_sizes_are_left_out(said: Any) -> None:
    assert StudyRecord({"sources": said}).sources == {}
