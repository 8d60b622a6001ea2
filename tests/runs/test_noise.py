"""The noise of a baseline: what it counts, and its file.

Covers ``records.noise`` and ``runs.noise_file``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.noise import Noise, noise_between
from forgetmeter.records.outcome import Outcome
from forgetmeter.runs.record_json import record_json
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe

NOISE = Noise(items=4, forgotten=1, gained=1, changed=3, largest_margin_shift=0.25, batch_tokens=(1024, 256))


def cell(recipe: str = "baseline") -> Cell:
    return Cell(Variant(f"id-{recipe[:4]}", parse_model_reference("org/tiny"), parse_recipe(recipe)), "lama/trex")


def outcome(place: int, correct: bool, prediction: str, margin: float | None) -> Outcome:
    return Outcome(f"t/{place}", correct, prediction, "a", 1, margin, ())


def test_it_counts_differing_items() -> None:
    first = [
        outcome(0, True, "a", 1.0),
        outcome(1, True, "a", 0.0),
        outcome(2, False, "b", -1.0),
        outcome(3, False, "b", None),
    ]
    second = [
        outcome(0, True, "a", 0.9),
        outcome(1, False, "b", -0.25),
        outcome(2, True, "a", -1.0),
        outcome(3, False, "c", 0.0),
    ]
    assert noise_between(first, second, batch_tokens=(1024, 256)) == NOISE
    assert NOISE.floor == 0.5
    assert noise_between([], [], batch_tokens=(1, 1)).floor == 0


def test_it_is_stored_beside_the_outcomes_and_read_back(tmp_path: Path) -> None:
    store = RunStore(str(tmp_path / "run"))
    assert store.needs_noise(cell(), is_wanted=True)
    assert not store.needs_noise(cell(), is_wanted=False)
    assert not store.needs_noise(cell("dynamic_int8:overall"), is_wanted=True)
    store.write_noise(cell(), NOISE)
    (stored,) = store.noises()
    assert (stored.model, stored.task, stored.noise) == ("org/tiny", "lama/trex", NOISE)
    assert not store.needs_noise(cell(), is_wanted=True)
    assert store.cells() == store.failures() == store.variants() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": "m", "task": "t", "noise": {}}'])
def test_a_broken_one_is_measured_again(tmp_path: Path, content: bytes) -> None:
    store = RunStore(str(tmp_path / "run"))
    store.write_noise(cell(), NOISE)
    next((tmp_path / "run").rglob("*.noise.json")).write_bytes(content)
    assert store.noises() == []
    assert store.needs_noise(cell(), is_wanted=True)


def test_an_edited_one_is_measured_again(tmp_path: Path) -> None:
    store = RunStore(str(tmp_path / "run"))
    store.write_noise(cell(), NOISE)
    path = next((tmp_path / "run").rglob("*.noise.json"))
    path.write_text(path.read_text().replace('"changed": 3', '"changed": 2'))
    assert store.noises() == []
    assert store.needs_noise(cell(), is_wanted=True)


def test_one_that_is_not_made_of_numbers_is_measured_again(tmp_path: Path) -> None:
    store = RunStore(str(tmp_path / "run"))
    store.write_noise(cell(), NOISE)
    path = next((tmp_path / "run").rglob("*.noise.json"))
    document = json.loads(path.read_text())
    del document["sha256"]
    document["noise"]["gained"] = None
    path.write_bytes(record_json(document))
    assert store.noises() == []
