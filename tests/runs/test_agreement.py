"""Files that were copied from elsewhere or edited disagree with their place or with the study, and are not counted.

Covers ``runs.agreement`` and ``runs.intact``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written_runs import rewrite_json

from forgetmeter.errors import UserError
from forgetmeter.plan.planning import is_variant_id
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.noise import Noise
from forgetmeter.report.tables import remarks
from forgetmeter.results.results import open_run
from forgetmeter.runs.run_store import RunStore
from forgetmeter.runs.tables.metadata import parquet_bytes
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe

PRUNED, QUANTIZED = "l1_unstructured:overall:0.5", "dynamic_int8:overall"
# Ids of the made-up run.
IDS = {"baseline": "id5", PRUNED: "id4", QUANTIZED: "id3"}


def cell(recipe: str, task: str = "piqa", model: str = "org/tiny") -> Cell:
    return Cell(Variant(IDS[recipe], parse_model_reference(model), parse_recipe(recipe)), task)


def done(location: str) -> set[tuple[str, str]]:
    """Return recipe and task of the cells that are shown; the store must agree that they are done."""
    found = {(each.recipe, each.task) for each in open_run(location).run.cells}
    store = RunStore(location)
    every = {(recipe, task) for recipe in IDS for task in ("piqa", "lama/trex")}
    assert {(recipe, task) for recipe, task in every if store.is_done(cell(recipe, task))} == found
    return found


def edit_parquet(path: Path, change: Callable[[pa.Table], pa.Table], **facts: Any) -> None:
    """Change the rows of a file, and its facts and digest so that these agree with the rows."""
    table = pq.read_table(path)
    stored = json.loads(table.schema.metadata[b"forgetmeter"])
    changed = change(table)
    path.write_bytes(parquet_bytes(changed, {**stored, "rows": len(changed), **facts}))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("variants/id3/piqa.parquet", "variants/id4/piqa.parquet"),
        ("variants/id5/lama/trex.parquet", "variants/id4/lama/trex.parquet"),
        ("variants/id4/lama/trex.parquet", "variants/id4/piqa.parquet"),
    ],
)
def test_the_outcomes_of_another_cell_do_not_count(full_run: str, source: str, target: str) -> None:
    before = done(full_run)
    task = target.removesuffix(".parquet").partition("/id4/")[2]
    shutil.copy(Path(full_run, source), Path(full_run, target))
    assert done(full_run) == before - {(PRUNED, task)}
    (remark,) = (
        each
        for each in remarks(open_run(full_run).summary)
        if each.startswith("Damaged, edited or belonging to another cell")
    )
    assert remark.endswith(f", so not counted: {target}; run the study again to replace them.")


@pytest.mark.parametrize("facts", [{"model": "org/other"}, {"recipe": QUANTIZED}, {"variant": "id3"}, {"task": "../x"}])
def test_outcomes_that_name_another_cell_do_not_count(full_run: str, facts: dict[str, str]) -> None:
    before = done(full_run)
    edit_parquet(Path(full_run, "variants/id4/piqa.parquet"), lambda table: table, **facts)
    assert done(full_run) == before - {(PRUNED, "piqa")}


def test_a_variant_of_another_run_with_the_same_names_does_not_count_twice(full_run: str) -> None:
    before = done(full_run)
    shutil.copytree(Path(full_run, "variants/id4"), Path(full_run, "variants/other"))
    rewrite_json(Path(full_run, "variants/other/variant.json"), lambda variant: variant.update(id="other"))
    for path in Path(full_run, "variants/other").rglob("*.parquet"):
        edit_parquet(path, lambda table: table, variant="other")
    with pytest.raises(UserError, match=r"other/variant\.json' is damaged .*which study\.json does not list"):
        open_run(full_run)
    Path(full_run, "variants/other/variant.json").unlink()
    assert done(full_run) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda table: pa.concat_tables([table, table.slice(1, 1)]),
        lambda table: pa.concat_tables([table.slice(0, 2), table.slice(0, 2)]),
        lambda table: table.set_column(0, "item_id", pa.array([f"piqa/{place + 2}" for place in range(4)])),
        lambda table: table.set_column(0, "item_id", pa.array([f"piqa/{place}" for place in range(3)] + [None])),
    ],
)
def test_outcomes_of_an_item_twice_or_of_unknown_items_do_not_count(full_run: str, change: Any) -> None:
    before = done(full_run)
    edit_parquet(Path(full_run, "variants/id4/piqa.parquet"), change)
    assert done(full_run) == before - {(PRUNED, "piqa")}


@pytest.mark.parametrize("change", [lambda table: table.slice(1), lambda table: table.take([2, 0, 3, 1])])
def test_fewer_items_or_another_order_count(full_run: str, change: Any) -> None:
    before = done(full_run)
    edit_parquet(Path(full_run, "variants/id4/piqa.parquet"), change)
    assert done(full_run) == before


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table], *, digest: bool = True) -> None:
    """Change a file as other programs do, keeping its metadata, or as versions before digests wrote it."""
    table = pq.read_table(path)
    kept = {key: value for key, value in table.schema.metadata.items() if digest or key == b"forgetmeter"}
    pq.write_table(change(table).replace_schema_metadata(kept), path)


def with_column(name: str, values: list[Any]) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        return table.set_column(place, name, pa.array(values, table.schema.field(place).type))

    return change


EDITED_OUTCOMES = [
    ("correct", [True, True, True, True]),
    ("prediction", ["4", "4", "4", "4"]),
    ("gold", ["5", "5", "5", "5"]),
    ("rank", [1, 1, 1, 1]),
    ("margin", [0.1, 0.2, 0.3, 0.4]),
    ("loglikelihoods", [[-1.0, -2.0]] * 4),
    ("metric.acc", [1.0, 1.0, 1.0, 1.0]),
]
EDITED_ITEMS = [
    ("gold", [[0], [0], [0], [0]]),
    ("choices", [["5", "4"]] * 4),
    ("contexts", [["2 + 3 =", "2 + 3 ="]] * 4),
    ("fields", [[("relation", "P2")]] * 4),
    ("content_hash", ["a", "b", "c", "d"]),
]


@pytest.mark.parametrize(("name", "values"), EDITED_OUTCOMES)
def test_edited_outcomes_do_not_count(full_run: str, name: str, values: list[Any]) -> None:
    before = done(full_run)
    rewritten(Path(full_run, "variants/id4/piqa.parquet"), with_column(name, values))
    assert done(full_run) == before - {(PRUNED, "piqa")}
    assert open_run(full_run).summary.damaged == ("variants/id4/piqa.parquet",)


@pytest.mark.parametrize(("name", "values"), EDITED_ITEMS)
def test_edited_items_are_not_stored(full_run: str, name: str, values: list[Any]) -> None:
    assert RunStore(full_run).read_items_hash("piqa")
    rewritten(Path(full_run, "items/piqa.parquet"), with_column(name, values))
    assert RunStore(full_run).read_items_hash("piqa") is None
    assert not RunStore(full_run).has_records(cell(PRUNED)), "the next run stores them again"


def test_edited_facts_do_not_count(full_run: str) -> None:
    before = done(full_run)
    path = Path(full_run, "variants/id4/piqa.parquet")
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[b"forgetmeter"]) | {"metrics": {"acc": 1.0}}
    kept = table.schema.metadata | {b"forgetmeter": json.dumps(facts).encode()}
    pq.write_table(table.replace_schema_metadata(kept), path)
    assert done(full_run) == before - {(PRUNED, "piqa")}


def test_bytes_that_changed_on_disk_do_not_count(full_run: str) -> None:
    before = done(full_run)
    path = Path(full_run, "variants/id4/piqa.parquet")
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    assert done(full_run) == before - {(PRUNED, "piqa")}


def test_files_without_a_digest_are_compared_with_the_metric_that_decides(full_run: str) -> None:
    """The right answers of the pruned variant on piqa are the first and the last."""
    rewrite_json(Path(full_run, "study.json"), lambda study: study.update(started_in_schema=2))
    before, path = done(full_run), Path(full_run, "variants/id4/piqa.parquet")
    rewritten(path, lambda table: table, digest=False)
    assert done(full_run) == before
    silent = with_column("prediction", ["4", "", "5", "4"])
    rewritten(path, silent, digest=False)
    # An answer that is not a number is wrong, even if a metric counted it.
    rewritten(path, with_column("metric.acc", [1.0, 1.0, 0.0, 1.0]), digest=False)
    assert done(full_run) == before
    # A metric between 0 and 1, or none, decides nothing.
    rewritten(path, with_column("metric.acc", [0.5, None, 0.0, None]), digest=False)
    assert done(full_run) == before
    for values in ([True, False, True, True], [True, None, True, True]):
        rewritten(path, with_column("correct", values), digest=False)
        assert done(full_run) == before - {(PRUNED, "piqa")}
    rewritten(path, with_column("metric.acc", [1.0, 0.0, 0.0, 1.0]), digest=False)
    rewritten(path, with_column("correct", [False, False, False, True]), digest=False)
    assert done(full_run) == before - {(PRUNED, "piqa")}


def test_files_that_lost_their_digest_do_not_count(full_run: str) -> None:
    before = done(full_run)
    rewritten(Path(full_run, "variants/id4/piqa.parquet"), lambda table: table, digest=False)
    assert done(full_run) == before - {(PRUNED, "piqa")}
    assert open_run(full_run).summary.damaged == ("variants/id4/piqa.parquet",)
    rewritten(Path(full_run, "items/piqa.parquet"), lambda table: table, digest=False)
    assert RunStore(full_run).read_items_hash("piqa") is None


def test_outcomes_of_other_items_do_not_count(full_run: str) -> None:
    before, stored = done(full_run), RunStore(full_run).read_items_hash("piqa")
    path = Path(full_run, "variants/id4/piqa.parquet")
    edit_parquet(path, lambda table: table, items_hash=stored)
    assert done(full_run) == before
    edit_parquet(path, lambda table: table, items_hash="0" * 64)
    assert done(full_run) == before - {(PRUNED, "piqa")}


def test_outcomes_that_were_judged_otherwise_do_not_count(full_run: str) -> None:
    before = done(full_run)
    path = Path(full_run, "variants/id4/piqa.parquet")
    edit_parquet(Path(full_run, "items/piqa.parquet"), lambda table: table, judging="a" * 64)
    edit_parquet(path, lambda table: table, judging="a" * 64)
    assert done(full_run) == before
    edit_parquet(path, lambda table: table, judging="b" * 64)
    assert done(full_run) == before - {(PRUNED, "piqa")}


def test_items_of_another_task_or_with_other_content_are_not_stored(full_run: str) -> None:
    path = Path(full_run, "items/piqa.parquet")
    shutil.copy(Path(full_run, "items/lama/trex.parquet"), path)
    assert RunStore(full_run).read_items_hash("piqa") is None
    shutil.copy(Path(full_run, "items/lama/trex.parquet"), path)
    edit_parquet(path, lambda table: table.slice(1), name="piqa")
    assert RunStore(full_run).read_items_hash("piqa") is None
    assert [each.task for each in open_run(full_run).run.tasks] == ["lama/trex"]


def test_items_with_the_same_id_are_damaged(full_run: str) -> None:
    ids = pa.array(["piqa/0", "piqa/0", "piqa/2", "piqa/3"])
    edit_parquet(Path(full_run, "items/piqa.parquet"), lambda table: table.set_column(0, "item_id", ids))
    with pytest.raises(UserError, match=r"items/piqa\.parquet' is damaged \(two items have the same id"):
        assert open_run(full_run).summary


@pytest.mark.parametrize("change", [{"id": "id3"}, {"recipe": QUANTIZED}, {"model": "org/other"}])
def test_a_variant_record_of_another_variant_is_damaged(full_run: str, change: dict[str, str]) -> None:
    assert RunStore(full_run).has_records(cell(PRUNED))
    rewrite_json(Path(full_run, "variants/id4/variant.json"), lambda variant: variant.update(change))
    with pytest.raises(UserError, match=r"id4/variant\.json' is damaged"):
        open_run(full_run)
    assert not RunStore(full_run).has_records(cell(PRUNED)), "the next run makes it again"


@pytest.mark.parametrize("change", [{"variant": "id4"}, {"recipe": PRUNED}, {"model": "org/other"}, {"task": "piqa"}])
def test_a_failure_of_another_cell_is_damaged(full_run: str, change: dict[str, str]) -> None:
    rewrite_json(Path(full_run, "variants/id3/lama/trex.failed.json"), lambda failure: failure.update(change))
    with pytest.raises(UserError, match=r"id3/lama/trex\.failed\.json' is damaged"):
        open_run(full_run)


@pytest.mark.parametrize("change", [{"variant": "id4"}, {"model": "org/other"}, {"task": "lama/trex"}])
def test_noise_of_another_cell_is_measured_again(full_run: str, change: dict[str, str]) -> None:
    store, baseline = RunStore(full_run), cell("baseline")
    store.write_noise(baseline, Noise(4, 1, 1, 3, 0.25, (1024, 256)))
    assert open_run(full_run).noise
    assert not store.needs_noise(baseline, is_wanted=True)
    rewrite_json(Path(full_run, "variants/id5/piqa.noise.json"), lambda noise: noise.update(change))
    assert open_run(full_run).noise == {}
    assert open_run(full_run).summary.damaged == ("variants/id5/piqa.noise.json",)
    assert store.needs_noise(baseline, is_wanted=True)


def test_a_study_whose_variants_swapped_their_ids_disagrees_with_their_records(full_run: str) -> None:
    def swap(study: dict[str, Any]) -> None:
        first, second, _ = study["variants"]
        first["id"], second["id"] = second["id"], first["id"]

    rewrite_json(Path(full_run, "study.json"), swap)
    with pytest.raises(UserError, match=r"variant\.json' is damaged \(it names 'org/tiny' under '.*', which study"):
        open_run(full_run)
    for path in Path(full_run).rglob("variant.json"):
        path.unlink()
    assert {each.recipe for each in open_run(full_run).run.cells} == {QUANTIZED}


@pytest.mark.parametrize(
    "change",
    [
        lambda study: study["variants"][1].update(recipe="l1_unstructured:overall:0.9"),
        lambda study: study["identity"]["recipes"].__setitem__(1, "l1_unstructured:overall:0.9"),
        lambda study: study["identity"].update(models=["org/other"]),
        lambda study: study["variants"].pop(),
        lambda study: study["variants"][1].update(id="id5"),
        lambda study: study["variants"].append(study["variants"][1]),
    ],
)
def test_a_study_that_disagrees_with_itself_is_refused(full_run: str, change: Callable[[dict[str, Any]], Any]) -> None:
    rewrite_json(Path(full_run, "study.json"), change)
    with pytest.raises(UserError, match=r"study\.json' was edited: its variants do not follow from its models"):
        open_run(full_run)


def test_ids_are_compared_with_what_they_are_made_of(full_run: str) -> None:
    settings = {"dtype": "float32", "seed": 0}
    assert is_variant_id("eefba3390918", {"tiny": "d74ba1c07e652853"}, "tiny", "baseline", dtype="float32", seed=0)

    def real(study: dict[str, Any], **changes: Any) -> None:
        study["identity"] |= {
            "model_content": {"org/tiny": "d74ba1c07e652853"},
            "recipes": ["baseline"],
            "evaluation": settings | changes,
        }
        study["variants"] = [{"id": "eefba3390918", "model": "org/tiny", "recipe": "baseline"}]

    shutil.rmtree(Path(full_run, "variants"))
    rewrite_json(Path(full_run, "study.json"), real)
    assert len(open_run(full_run).variants) == 1
    for changes in ({"seed": 1}, {"dtype": "float16"}):
        rewrite_json(Path(full_run, "study.json"), lambda study, changes=changes: real(study, **changes))
        with pytest.raises(UserError, match=r"study\.json' was edited"):
            open_run(full_run)


def test_a_model_that_the_study_does_not_name_is_another(full_run: str) -> None:
    other = cell("baseline", model="org/other")
    store = RunStore(full_run)
    store.write_failure(replace(other, variant=replace(other.variant, id="other")), "Error", "Traceback ...")
    assert {each.model for each in open_run(full_run).run.failures} == {"org/tiny", "org/other"}
