"""Intact files with content that no version wrote are refused or ignored, never counted.

Covers ``runs.stored``, ``runs.record_json`` and ``runs.run``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written_runs import rewrite_json

from forgetmeter.errors import UserError
from forgetmeter.results.results import open_run
from forgetmeter.runs.tables.metadata import parquet_bytes

Change = Callable[[dict[str, Any]], None]


def rewrite_table(path: Path, table: pa.Table, facts: dict[str, Any] | None = None) -> None:
    stored = json.loads(pq.read_table(path).schema.metadata[b"forgetmeter"])
    path.write_bytes(parquet_bytes(table, stored | (facts or {})))


def numbers_of(location: str) -> int:
    """Compute everything that commands show, and return the number of cells."""
    results = open_run(location)
    assert all(frame is not None for frame in (results.frontier, results.curves, results.findings))
    return len(results.comparisons)


@pytest.mark.parametrize(
    "change",
    [
        lambda study: study["identity"].update(tasks=["piqa", []]),
        lambda study: study["identity"].update(models=[None]),
        lambda study: study["identity"].update(model_content=3.0),
        lambda study: study.update(versions="x"),
        lambda study: study.update(variants=[{"id": 1, "model": "m", "recipe": "r"}]),
        lambda study: study["identity"].update(evaluation=float("inf")),
    ],
)
def test_a_study_of_another_form_is_refused(full_run: str, change: Change) -> None:
    rewrite_json(Path(full_run) / "study.json", change)
    with pytest.raises(UserError, match=r"study\.json' is (not a forgetmeter study|damaged)"):
        open_run(full_run)


@pytest.mark.parametrize(
    "change",
    [
        lambda variant: variant["reached"].update(quantized_bytes="x"),
        lambda variant: variant["reached"].update(roles=None),
        lambda variant: variant["reached"].update(roles={"head": {"weights": 1}}),
        lambda variant: variant.update(facts=[1]),
        lambda variant: variant.update(model=7),
        lambda variant: variant["facts"].update(seconds=float("nan")),
    ],
)
def test_a_variant_record_of_another_form_is_damaged(full_run: str, change: Change) -> None:
    path = next(
        path for path in Path(full_run).glob("variants/*/variant.json") if json.loads(path.read_text())["reached"]
    )
    rewrite_json(path, change)
    with pytest.raises(UserError, match=r"variant\.json' is damaged"):
        open_run(full_run)


def edit_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("study.json", '"piqa"', '"pi"'),
        ("study.json", '"schema_version": 3', '"schema_version": 2'),
        ("variants/id4/variant.json", '"dense_bytes": ', '"dense_bytes": 1'),
        ("variants/id4/variant.json", '"weights": ', '"weights": 1'),
        ("variants/id3/lama/trex.failed.json", "no room", "no disk"),
    ],
)
def test_an_edited_json_file_is_damaged(full_run: str, name: str, old: str, new: str) -> None:
    edit_text(Path(full_run, name), old, new)
    with pytest.raises(UserError, match=rf"{name}' is damaged \(edited since it was written\)"):
        open_run(full_run)


@pytest.mark.parametrize("name", ["study.json", "variants/id4/variant.json", "variants/id3/lama/trex.failed.json"])
def test_a_json_file_that_lost_its_digest_is_damaged(full_run: str, name: str) -> None:
    path = Path(full_run, name)
    document = json.loads(path.read_text())
    del document["sha256"]
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=rf"{name}' is damaged \(its sha256 is missing, so it may have been edited\)"):
        open_run(full_run)


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"started_in_schema": 2}])
def test_an_earlier_version_does_not_hide_that_a_digest_was_removed(full_run: str, change: dict[str, Any]) -> None:
    path = Path(full_run, "study.json")
    document = {**json.loads(path.read_text()), **change}
    document["hardware"] = {"cpu": "another"}
    del document["sha256"]
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"study\.json' is damaged \(its (sha256 is missing|schema_version is earlier)"):
        open_run(full_run)
    # Any one file of the run shows it.
    for each in Path(full_run).rglob("*.parquet"):
        each.unlink()
    with pytest.raises(UserError, match="so it may have been edited"):
        open_run(full_run)


@pytest.mark.parametrize(
    "facts", [{"cut": "x"}, {"metrics": {"acc": "x"}}, {"dropped": []}, {"model": 3}, {"metrics": {"acc": 10**400}}]
)
def test_a_cell_with_facts_of_another_form_is_not_done(full_run: str, facts: dict[str, Any]) -> None:
    cells = numbers_of(full_run)
    path = next(Path(full_run).glob("variants/*/lama/trex.parquet"))
    rewrite_table(path, pq.read_table(path), facts if facts != {"dropped": []} else {"dropped": [1]})
    assert numbers_of(full_run) == cells - 1


@pytest.mark.parametrize("column", ["item_id", "correct", "prediction", "gold", "rank", "margin", "loglikelihoods"])
def test_a_cell_without_a_column_or_with_another_type_is_not_done(full_run: str, column: str) -> None:
    cells = numbers_of(full_run)
    path = next(Path(full_run).glob("variants/*/lama/trex.parquet"))
    table = pq.read_table(path)
    rewrite_table(path, table.drop([column]))
    assert numbers_of(full_run) == cells - 1
    rewrite_table(path, table.set_column(table.schema.get_field_index(column), column, pa.array([{"a": 1}] * 3)))
    assert numbers_of(full_run) == cells - 1


@pytest.mark.parametrize("column", ["item_id", "gold"])
def test_items_without_an_id_or_an_answer_are_damaged(full_run: str, column: str) -> None:
    path = Path(full_run) / "items" / "piqa.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    rewrite_table(path, table.set_column(place, column, pa.nulls(len(table), table.schema.field(place).type)))
    with pytest.raises(UserError, match=r"items/piqa\.parquet' is damaged"):
        numbers_of(full_run)


def test_facts_and_ranks_that_nothing_can_be_computed_with(full_run: str) -> None:
    cells = numbers_of(full_run)
    path = next(Path(full_run).glob("variants/*/lama/trex.parquet"))
    table = pq.read_table(path)
    ranks = pa.array([2**31 - 1] * len(table), table.schema.field("rank").type)
    table = table.set_column(table.schema.get_field_index("rank"), "rank", ranks)
    rewrite_table(path, table, {"left_out": 3})
    assert numbers_of(full_run) == cells
