"""Runs written by earlier versions open, and a finished one is not computed again.

``earlier/`` holds a run of each schema version, and of each older form within it, as its version wrote it: the built-in
facts (two per relation) asked of ``standard:decoder``. A new schema version adds its own; no file is ever remade.

Covers ``study.checked_study``.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from forgetmeter.report.written_report import make_report
from forgetmeter.results.results import open_run
from forgetmeter.runs.run_store import SCHEMA_VERSION
from forgetmeter.study.running import run

EARLIER = Path(__file__).parent / "earlier"
PRUNED, QUANTIZED = "l1_unstructured:overall:0.5", "dynamic_int8:overall"
TASK = "facts:templates=0"
STUDY = {
    "models": ["standard:decoder"],
    "recipes": [PRUNED, QUANTIZED],
    "tasks": [TASK],
    "evaluation": {"limit": 2},
}


@pytest.fixture(params=sorted(path.stem for path in EARLIER.glob("*.zip")))
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with zipfile.ZipFile(EARLIER / f"{request.param}.zip") as archive:
        archive.extractall(tmp_path / "run")
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_schema_version_is_represented() -> None:
    there = {int(path.stem.split("_")[1]) for path in EARLIER.glob("schema_*.zip")}
    assert there == set(range(1, SCHEMA_VERSION + 1))


def test_it_opens_with_the_same_numbers(location: Path) -> None:
    results = open_run(str(location))
    cells = {cell.recipe: cell for cell in results.summary.cells}
    assert {recipe: (cell.items, cell.right) for recipe, cell in cells.items()} == {
        "baseline": (40, 40),
        PRUNED: (40, 25),
        QUANTIZED: (40, 40),
    }
    assert (cells[PRUNED].forgotten, cells[PRUNED].gained) == (15, 0)
    assert len(results.outcomes) == 3 * len(results.items) == 120
    sizes = {each.recipe: each.smallest_bytes for each in results.summary.variants}
    assert sizes["baseline"] > sizes[PRUNED] > sizes[QUANTIZED]
    ledger = results.forgotten(PRUNED)
    assert ledger["status"].value_counts().to_dict() == {"kept": 25, "forgotten": 15}
    assert ledger["statement"].str.len().min() > 0
    assert {finding.name for finding in results.tested_claims} >= {"overall_hurts_most"}
    assert TASK.encode() in make_report(results)["report.html"]


def test_a_finished_run_is_not_computed_again(location: Path) -> None:
    before = contents(location)
    results = run(STUDY | {"output": str(location)})
    assert results.failures == ()
    assert contents(location) == before


def test_a_finished_run_gains_a_recipe(location: Path) -> None:
    before = contents(location)
    finished = run(STUDY | {"output": str(location), "recipes": [QUANTIZED, PRUNED, "round_to_nearest:overall:8"]})
    assert (finished.cells, finished.computed, finished.failures) == (4, 1, ())
    after = contents(location)
    assert {path for path in before if after[path] != before[path]} == {"study.json"}
    results = open_run(str(location))
    # Earlier versions must not read the new cell, whose file has further columns.
    assert results.study["schema_version"] == SCHEMA_VERSION
    # Only the files of a run that this version started all have digests.
    started = json.loads(before["study.json"])["schema_version"]
    assert results.study.get("started_in_schema", SCHEMA_VERSION) == started
    assert set(results.outcomes["recipe"]) == {"baseline", QUANTIZED, PRUNED, "round_to_nearest:overall:8"}
    assert len(results.outcomes) == 4 * len(results.items) == 160
    assert [each.recipe for each in results.summary.cells] == [
        "baseline",
        QUANTIZED,
        PRUNED,
        "round_to_nearest:overall:8",
    ]
