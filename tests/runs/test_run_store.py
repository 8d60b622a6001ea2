"""Writing a run: resuming, concurrent workers, broken files.

Covers ``records.cell``, ``runs.tables.items_table``, ``runs.tables.metadata``, ``runs.tables.outcomes_table`` and
``runs.stored``.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from forgetmeter.errors import UserError
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Item, Request, Requests, TaskDescription
from forgetmeter.records.outcome import Outcome
from forgetmeter.records.variant import Reached, RoleCount
from forgetmeter.runs.record_json import record_json
from forgetmeter.runs.run_store import SCHEMA_VERSION, RunStore
from forgetmeter.runs.stored import Failure, StoredVariant


@pytest.fixture
def location(tmp_path: Path) -> str:
    return str(tmp_path / "run")


@pytest.fixture
def store(location: str) -> RunStore:
    return RunStore(location)


class TestStudy:
    def test_a_new_run_holds_the_study(self, store: RunStore, study: dict) -> None:
        store.open_study(study)
        assert store.read_study().document == study

    def test_an_empty_folder_is_accepted(self, store: RunStore, study: dict, location: str) -> None:
        Path(location).mkdir()
        store.open_study({key: value for key, value in study.items() if key != "schema_version"})
        assert store.read_study().document["schema_version"] == SCHEMA_VERSION

    def test_the_same_study_resumes_and_its_file_is_kept(self, store: RunStore, study: dict, location: str) -> None:
        store.open_study({**study, "hardware": {"processor": "one"}})
        before = (Path(location) / "study.json").read_bytes()
        store.open_study({**study, "hardware": {"processor": "another"}})
        assert (Path(location) / "study.json").read_bytes() == before

    def test_another_study_is_refused_with_the_differences(self, store: RunStore, study: dict, location: str) -> None:
        store.open_study(study)
        identity = {
            **study["identity"],
            "tasks": ["piqa", "boolq"],
            "evaluation": {"limit": 7, "dtype": "float32"},
        }
        with pytest.raises(UserError) as caught:
            store.open_study({**study, "identity": identity})
        message = str(caught.value)
        assert message == (
            f"'{location}' holds a run of another study (evaluation.limit: 100 in the run, 7 now; "
            "tasks lack 'lama/trex'); a run can gain recipes, candidates and tasks if the command repeats all "
            "that it was started with (those that failed may be left out); of its settings, only device, batch_tokens, "
            "noise_floor, precision, margin and profile may differ; choose another --out, or delete that run"
        )

    def test_what_was_recorded_at_the_start_stays_when_a_run_gains_tasks(self, store: RunStore, study: dict) -> None:
        store.open_study({**study, "hardware": {"processor": "one"}, "methods": {"mine": {"kind": "other"}}})
        more = {**study, "identity": {**study["identity"], "tasks": ["boolq", "lama/trex", "piqa"]}}
        new = {"hardware": {"processor": "two"}, "methods": {"mine": {"kind": "casts"}, "new": {"kind": "other"}}}
        assert store.changes(more) == [f"adding to the run at {store.location}: tasks 'boolq'"]
        store.open_study({**more, **new})
        found = store.read_study().document
        assert found["identity"]["tasks"] == ["boolq", "lama/trex", "piqa"]
        assert found["hardware"] == {"processor": "one"}
        assert found["methods"] == {"mine": {"kind": "other"}, "new": {"kind": "other"}}
        assert store.changes(more) == []

    def test_of_two_workers_that_extend_a_run_differently_the_later_is_refused(
        self, store: RunStore, study: dict, location: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def with_task(name: str) -> dict:
            return {**study, "identity": {**study["identity"], "tasks": ["piqa", "lama/trex", name]}}

        store.open_study(study)
        late = RunStore(location)
        # Both have passed the check before either writes.
        monkeypatch.setattr(late, "check_study", lambda _: store.open_study(with_task("boolq")))
        with pytest.raises(UserError, match="tasks lack 'boolq'"):
            late.open_study(with_task("winogrande"))
        assert store.read_study().document["identity"]["tasks"] == ["piqa", "lama/trex", "boolq"]

    def test_many_workers_can_extend_one_run(self, store: RunStore, location: str, study: dict) -> None:
        store.open_study(study)
        more = {**study, "identity": {**study["identity"], "tasks": ["piqa", "lama/trex", "boolq"]}}
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: RunStore(location).open_study({**more, "worker": number}), range(16)))
        assert store.read_study().document["identity"] == more["identity"]

    def test_a_model_that_changed_since_is_refused(self, store: RunStore, study: dict) -> None:
        store.open_study(study)
        variants = [study["variants"][0], {**study["variants"][1], "id": "cccc"}]
        with pytest.raises(UserError, match=r"the content of 'org/tiny' under 'l1_unstructured:overall:0\.5'"):
            store.open_study({**study, "variants": variants})

    def test_a_folder_of_something_else_is_refused(self, store: RunStore, study: dict, location: str) -> None:
        (Path(location) / "photos").mkdir(parents=True)
        (Path(location) / "photos" / "cat.jpg").write_bytes(b"meow")
        with pytest.raises(UserError, match=r"not empty and not a run \(it contains 'photos/cat\.jpg'"):
            store.open_study(study)
        assert not (Path(location) / "study.json").exists()

    def test_a_file_is_refused(self, store: RunStore, study: dict, location: str) -> None:
        Path(location).write_bytes(b"")
        with pytest.raises(UserError, match="is a file, not a folder"):
            store.open_study(study)

    def test_a_newer_schema_is_refused(self, store: RunStore, study: dict) -> None:
        store.folder.write("study.json", record_json({**study, "schema_version": SCHEMA_VERSION + 1}))
        for attempt in (store.read_study, lambda: store.open_study(study)):
            with pytest.raises(UserError, match=r"newer forgetmeter \(schema 4"):
                attempt()

    @pytest.mark.parametrize("content", [b"", b'{"schema_version": 1, "ident', b"[]", b"\xff\xfe", b"{}"])
    def test_a_broken_study_is_refused_in_one_line(self, store: RunStore, study: dict, content: bytes) -> None:
        store.folder.write("study.json", content)
        for attempt in (store.read_study, lambda: store.open_study(study)):
            with pytest.raises(UserError, match=r"study\.json") as caught:
                attempt()
            assert "\n" not in str(caught.value)

    def test_a_missing_run(self, store: RunStore) -> None:
        with pytest.raises(UserError, match=r"is not a run .*forgetmeter run --out"):
            store.read_study()

    def test_many_workers_can_start_one_run(self, location: str, study: dict) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: RunStore(location).open_study({**study, "worker": number}), range(16)))
        assert RunStore(location).read_study().document["identity"] == study["identity"]


class TestItems:
    def test_table_and_description(
        self, store: RunStore, description: TaskDescription, items: list[Item], location: str
    ) -> None:
        store.write_items(description, items)
        table = pq.read_table(Path(location) / "items" / "lama" / "trex.parquet")
        assert table.column_names == [
            "item_id", "content_hash", "gold", "choices", "contexts", "continuations", "fields",
            "before", "after", "among",
        ]  # fmt: skip
        first = table.to_pylist()[0]
        assert first["gold"] == [0]
        assert first["continuations"] == [" Paris", " Łódź"]
        assert dict(first["fields"]) == {"relation": "P36", "subject": "France"}
        facts = json.loads(table.schema.metadata[b"forgetmeter"])
        assert facts["official_size"] == 34039
        assert facts["name"] == "lama/trex"
        digest = hashlib.sha256("".join(f"{index:064x}\n" for index in range(3)).encode()).hexdigest()
        assert facts["items_hash"] == store.read_items_hash("lama/trex") == digest

    def test_none_stored(self, store: RunStore) -> None:
        assert store.read_items_hash("piqa") is None

    def test_the_same_items_may_be_written_again(
        self, store: RunStore, description: TaskDescription, items: list[Item]
    ) -> None:
        store.write_items(description, items)
        store.write_items(description, items)

    @pytest.mark.parametrize(
        "change",
        [
            lambda items: items[:2],
            lambda items: items[::-1],
            lambda items: [replace(items[0], content_hash="f" * 64), *items[1:]],
        ],
    )
    def test_other_items_are_refused(
        self, store: RunStore, description: TaskDescription, items: list[Item], change: Callable
    ) -> None:
        store.write_items(description, items)
        with pytest.raises(UserError, match="data of task 'lama/trex' changed since the run"):
            store.write_items(description, change(items))

    def test_a_broken_file_is_written_anew(
        self, store: RunStore, description: TaskDescription, items: list[Item]
    ) -> None:
        store.folder.write("items/lama/trex.parquet", b"PAR1")
        store.write_items(description, items)
        assert store.read_items_hash("lama/trex") is not None

    @pytest.mark.parametrize("task", ["../../etc/passwd", "a//b", "/a", "a\\b", ""])
    def test_names_that_leave_the_folder_are_refused(
        self, store: RunStore, description: TaskDescription, task: str
    ) -> None:
        with pytest.raises(UserError, match="cannot be stored"):
            store.write_items(replace(description, name=task), [])


class TestOutcomes:
    def test_table_and_facts(self, store: RunStore, cell: Cell, outcomes: list[Outcome], location: str) -> None:
        store.write_outcomes(cell, outcomes, {"seconds": 1.5, "metrics": {"acc": float("nan")}})
        file = pq.ParquetFile(Path(location) / "variants" / "bbbb" / "lama" / "trex.parquet")
        table = file.read()
        assert table.schema.names == [
            "variant", "model", "recipe", "task", "item_id", "correct", "prediction", "gold", "rank", "margin",
            "loglikelihoods", "metric.acc", "metric.acc_norm",
        ]  # fmt: skip
        typed = ("correct", "rank", "margin", "metric.acc")
        assert [str(table.schema.field(name).type) for name in typed] == [
            "bool", "int32", "double", "double",
        ]  # fmt: skip
        assert table["metric.acc_norm"].to_pylist() == [0.0, None, None]
        assert table["loglikelihoods"].to_pylist() == [[-1.0, -1.5], [-2.0, -1.5], []]
        assert table["rank"].to_pylist() == [1, 2, None]
        column = file.metadata.row_group(0).column(7)
        assert column.path_in_schema == "gold"
        assert column.compression == "ZSTD"
        assert column.has_dictionary_page
        assert json.loads(table.schema.metadata[b"forgetmeter"]) == {
            "seconds": 1.5,
            "metrics": {"acc": None},
            "variant": "bbbb",
            "model": "org/tiny",
            "recipe": "l1_unstructured:overall:0.5",
            "task": "lama/trex",
            "rows": 3,
        }

    def test_a_complete_cell_is_done(self, store: RunStore, cell: Cell, outcomes: list[Outcome]) -> None:
        assert not store.is_done(cell)
        store.write_outcomes(cell, outcomes, {})
        assert store.is_done(cell)
        assert not store.is_done(replace(cell, task="piqa"))

    def test_an_empty_cell_is_done(
        self, store: RunStore, cell: Cell, description: TaskDescription, items: list[Item]
    ) -> None:
        store.write_outcomes(cell, [], {})
        assert store.is_done(cell)
        store.write_items(replace(description, name=cell.task), items)
        assert store.is_done(cell)

    def test_a_cell_truncated_anywhere_is_not_done(self, store: RunStore, cell: Cell, outcomes: list[Outcome]) -> None:
        store.write_outcomes(cell, outcomes, {})
        (path,) = store.folder.list()
        whole = store.folder.read(path)
        for length in range(0, len(whole), 97):
            store.folder.write(path, whole[:length])
            assert not store.is_done(cell)
            assert store.cells() == []

    def test_a_cell_with_missing_rows_is_not_done(self, store: RunStore, cell: Cell, outcomes: list[Outcome]) -> None:
        store.write_outcomes(cell, outcomes, {})
        (path,) = store.folder.list()
        local = store.folder.local_path(path)
        pq.write_table(pq.read_table(local).slice(1), local)
        assert not store.is_done(cell)

    def test_a_foreign_parquet_file_is_not_done(self, store: RunStore, cell: Cell, outcomes: list[Outcome]) -> None:
        store.write_outcomes(cell, outcomes, {})
        local = store.folder.local_path(store.folder.list()[0])
        pq.write_table(pq.read_table(local).replace_schema_metadata(None), local)
        assert not store.is_done(cell)

    def test_two_processes_write_one_cell(
        self, store: RunStore, cell: Cell, outcomes: list[Outcome], location: str
    ) -> None:
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=_write_often, args=(location, cell, outcomes)) for _ in range(2)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            if store.folder.exists("variants/bbbb/lama/trex.parquet"):
                assert store.is_done(cell)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        assert store.is_done(cell)
        assert [path.name for path in Path(location).rglob("*") if path.is_file()] == ["trex.parquet"]


def _write_often(location: str, cell: Cell, outcomes: list[Outcome]) -> None:
    store = RunStore(location)
    for _ in range(30):
        store.write_outcomes(cell, outcomes, {})


class TestVariantsAndFailures:
    def test_variant(self, store: RunStore, cell: Cell) -> None:
        reached = Reached({"attention.query": RoleCount(8, 3)}, 8, 2, 2, 100, 90, 60, simulated=True)
        store.write_variant(cell.variant, reached, {"seconds": 0.25})
        facts = {"seconds": 0.25}
        assert store.variants() == [StoredVariant("bbbb", "org/tiny", "l1_unstructured:overall:0.5", reached, facts)]
        document = json.loads(store.folder.read("variants/bbbb/variant.json"))
        assert document["reached"]["sparsity"] == 0.25
        assert document["reached"]["roles"] == {"attention.query": {"weights": 8, "zeros": 3}}

    def test_a_variant_that_failed(self, store: RunStore, cell: Cell) -> None:
        store.write_variant(cell.variant, None, {})
        assert store.variants()[0].reached is None

    def test_failures_are_listed_until_done(self, store: RunStore, cell: Cell, outcomes: list[Outcome]) -> None:
        assert store.failures() == []
        store.write_failure(cell, "MemoryError: no room", "Traceback ...")
        expected = Failure("bbbb", "org/tiny", "l1_unstructured:overall:0.5", "lama/trex", "MemoryError: no room")
        assert store.failures() == [expected]
        assert json.loads(store.folder.read("variants/bbbb/lama/trex.failed.json"))["traceback"] == "Traceback ..."
        assert not store.is_done(cell)
        store.write_outcomes(cell, outcomes, {})
        assert store.failures() == []
        assert store.folder.list() == ["variants/bbbb/lama/trex.parquet"]

    def test_a_failure_of_a_cell_done_by_another_worker_does_not_count(
        self, store: RunStore, cell: Cell, outcomes: list[Outcome]
    ) -> None:
        store.write_outcomes(cell, outcomes, {})
        store.write_failure(cell, "MemoryError", "Traceback ...")
        assert store.failures() == []


def test_a_run_in_memory(
    study: dict, cell: Cell, description: TaskDescription, items: list[Item], outcomes: list[Outcome]
) -> None:
    store = RunStore(f"memory://{uuid.uuid4().hex}/run")
    store.open_study(study)
    store.open_study(study)
    store.write_items(description, items)
    store.write_items(description, items)
    store.write_failure(cell, "MemoryError", "Traceback ...")
    assert len(store.failures()) == 1
    store.write_outcomes(cell, outcomes, {"seconds": 2})
    assert store.is_done(cell)
    assert store.failures() == []
    assert [(each.variant, each.task, each.facts["seconds"]) for each in store.cells()] == [("bbbb", "lama/trex", 2)]
    assert [each.task for each in store.items()] == ["lama/trex"]


def test_items_with_half_a_surrogate_pair_are_stored_with_an_escape(
    store: RunStore, study: dict, description: TaskDescription
) -> None:
    store.open_study(study)
    item = Item("x/0", "hash", Requests([Request("a \ud800", " b")]), ("b",), (0,), {"subject": "\udfff"})
    store.write_items(description, [item])
    (row,) = pq.read_table(io.BytesIO(store.folder.read(store.items()[0].path))).to_pylist()
    assert (row["contexts"], row["fields"]) == (["a \\ud800"], [("subject", "\\udfff")])
