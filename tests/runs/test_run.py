"""Reading a run, against what was written.

Covers ``runs.tables.frames`` and ``runs.content.parquet_union``.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from made_up_run import RunBuilder
from pandas.testing import assert_frame_equal
from pyarrow.dataset import dataset

from forgetmeter.errors import UserError
from forgetmeter.records.outcome import Outcome
from forgetmeter.results.results import open_run
from forgetmeter.runs.content import parquet_union
from forgetmeter.runs.record_json import record_json
from forgetmeter.runs.run_store import RunStore

PRUNED, QUANTIZED = "l1_unstructured:overall:0.5", "dynamic_int8:overall"
GROUPS = ["model", "recipe", "task"]


def test_outcomes(full_run: str) -> None:
    outcomes = open_run(full_run).outcomes
    assert list(outcomes.columns) == [
        "variant", "model", "recipe", "task", "item_id", "correct", "prediction", "gold", "rank", "margin",
        "loglikelihoods", "metric.acc", "metric.p_at_1",
    ]  # fmt: skip
    assert len(outcomes) == 4 * 3 + 3 * 2
    order = outcomes[["recipe", "task"]].drop_duplicates().to_numpy().tolist()
    assert order == [
        ["baseline", "piqa"], ["baseline", "lama/trex"], [PRUNED, "piqa"], [PRUNED, "lama/trex"],
        [QUANTIZED, "piqa"],
    ]  # fmt: skip
    pruned = outcomes[(outcomes["recipe"] == PRUNED) & (outcomes["task"] == "piqa")]
    assert list(pruned["item_id"]) == [f"piqa/{index}" for index in range(4)]
    assert list(pruned["correct"]) == [True, False, False, True]
    assert outcomes["correct"].dtype == bool
    assert list(pruned["rank"].isna()) == [False, True, True, False]
    assert list(pruned["metric.acc"]) == [1, 0, 0, 1]
    assert pruned["metric.p_at_1"].isna().all()
    assert [list(each) for each in pruned["loglikelihoods"]] == [[-1.0, -1.5]] * 4


def readme_query(location: str) -> pd.DataFrame:
    readme = Path(__file__).parents[2] / "README.md"
    (query,) = re.findall(r"```sql\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    return duckdb.sql(query.replace("runs/mine", location)).df().sort_values(GROUPS, ignore_index=True)


def test_other_programs_need_only_the_files_of_outcomes(full_run: str) -> None:
    """The README's query gives what forgetmeter reads, although the tasks have different metrics."""
    outcomes = open_run(full_run).outcomes
    expected = outcomes.groupby(GROUPS, as_index=False)["correct"].mean().rename(columns={"correct": "accuracy"})
    assert_frame_equal(readme_query(full_run), expected, check_dtype=False)
    stored = dataset(sorted(Path(full_run).glob("variants/**/*.parquet"))).to_table().to_pandas()
    keys = ["variant", "model", "recipe", "task", "item_id"]
    rows = [each[keys].sort_values(keys).to_numpy().tolist() for each in (stored, outcomes)]
    assert rows[0] == rows[1]


def test_the_readmes_query_keeps_models_apart(tmp_path: Path) -> None:
    right = {"org/a": [True, True], "org/b": [False, True]}
    builder = RunBuilder(str(tmp_path / "run"), models=[*right], recipes=["baseline"], tasks=["piqa"])
    for model, answers in right.items():
        outcomes = [Outcome(f"piqa/{place}", each, "", "", 1, 0.1, (-1.0,)) for place, each in enumerate(answers)]
        builder.store.write_outcomes(builder.cell("baseline", "piqa", model), outcomes, {})
    found = readme_query(str(tmp_path / "run"))
    assert found[[*GROUPS, "accuracy"]].to_numpy().tolist() == [
        ["org/a", "baseline", "piqa", 1.0],
        ["org/b", "baseline", "piqa", 0.5],
    ]


def test_items_and_tasks(full_run: str) -> None:
    run = open_run(full_run)
    assert list(run.items.columns) == [
        "task", "item_id", "content_hash", "gold", "choices", "contexts", "continuations", "fields",
        "before", "after", "among",
    ]  # fmt: skip
    assert list(run.items["task"]) == ["piqa"] * 4 + ["lama/trex"] * 3
    assert [list(each) for each in run.items["gold"][:4]] == [[0], [1], [1], [0, 1]]
    assert dict(run.items["fields"][0]) == {"relation": "P1"}
    assert run.tasks[["task", "items", "official_size"]].to_numpy().tolist() == [
        ["piqa", 4, 100],
        ["lama/trex", 3, 100],
    ]


def test_variants_cells_and_failures(full_run: str) -> None:
    run = open_run(full_run)
    assert list(run.variants["recipe"]) == ["baseline", PRUNED, QUANTIZED]
    assert list(run.variants["sparsity"][:2]) == [0, 0.5]
    assert pd.isna(run.variants["sparsity"][2])
    assert list(run.variants["zeros"][:2]) == list(run.variants["zeros.attention.query"][:2]) == [0, 5]
    assert list(run.variants["seconds"][:2]) == [0.5, 0.5]
    assert list(run.cells["metric.acc"]) == [0.75, 0, 0.5, pytest.approx(1 / 3), 0.75]
    assert list(run.cells["speed.tokens"]) == [7] * 5
    assert list(run.cells.columns[:5]) == ["variant", "model", "recipe", "task", "rows"]
    assert run.failures.to_dict("records") == [
        {
            "variant": "id3",
            "model": "org/tiny",
            "recipe": QUANTIZED,
            "task": "lama/trex",
            "error": "MemoryError: no room",
        }
    ]


def test_some_columns(full_run: str) -> None:
    outcomes = open_run(full_run).read_outcomes(["item_id", "correct"])
    assert list(outcomes.columns) == ["variant", "model", "recipe", "task", "item_id", "correct"]


def test_duckdb_and_pyarrow_read_the_same(full_run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(full_run)
    columns = ["item_id", "correct", "rank"]
    expected = run.outcomes, run.items, run.read_outcomes(columns)
    monkeypatch.setattr(parquet_union, "union_by_duckdb", None)
    monkeypatch.setattr(parquet_union, "_GLOB", frozenset("/"))
    run = open_run(full_run)
    for one, other in zip(expected, (run.outcomes, run.items, run.read_outcomes(columns)), strict=True):
        for column in ("gold", "choices", "contexts", "continuations", "loglikelihoods", "fields"):
            for frame in (one, other):
                if column in frame and frame[column].map(lambda cell: not isinstance(cell, str)).all():
                    frame[column] = frame[column].map(list)
        assert_frame_equal(one, other)


def test_a_run_elsewhere(write_run: Callable[..., str]) -> None:
    location = write_run({("baseline", "piqa"): [True, False]}, location=f"memory://{uuid.uuid4().hex}/run")
    run = open_run(location)
    assert list(run.outcomes["correct"]) == [True, False]
    assert len(run.items) == 2


@pytest.mark.parametrize("name", ["a[1]*", "limit=5", "it's"])
def test_folders_with_odd_names(write_run: Callable[..., str], tmp_path: Path, name: str) -> None:
    run = open_run(write_run({("baseline", "piqa"): [True, False]}, location=str(tmp_path / name)))
    assert list(run.outcomes.columns[:5]) == ["variant", "model", "recipe", "task", "item_id"]
    assert list(run.outcomes["correct"]) == [True, False]
    assert "limit" not in run.outcomes


def test_a_run_that_has_just_started(write_run: Callable[..., str]) -> None:
    run = open_run(write_run({}))
    assert len(run.variants) == 3
    assert len(run.cells) == len(run.items) == len(run.outcomes) == len(run.failures) == len(run.tasks) == 0
    assert "correct" in run.outcomes
    assert list(run.read_outcomes(["correct"]).columns) == ["variant", "model", "recipe", "task", "correct"]


def test_broken_cells_are_left_out(full_run: str) -> None:
    path = Path(full_run) / "variants" / "id5" / "piqa.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    run = open_run(full_run)
    assert len(run.cells) == 4
    assert ["baseline", "piqa"] not in run.outcomes[["recipe", "task"]].to_numpy().tolist()


def test_a_run_whose_study_lists_no_variants(full_run: str) -> None:
    store = RunStore(full_run)
    study = {**store.read_study().document}
    del study["variants"]
    store.folder.write("study.json", record_json(study))
    assert list(open_run(full_run).variants["recipe"]) == ["baseline", PRUNED, QUANTIZED]


def test_a_missing_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run"):
        open_run(str(tmp_path / "absent"))
