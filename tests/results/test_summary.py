"""The summary of a run: cells, baselines, corrected p-values and missing parts.

Covers ``results.compared.cell_summary``, ``results.compared.comparison`` and ``results.results``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from written_runs import builder, make_items, make_outcomes

from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.outcome import Outcome
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.results import open_run
from forgetmeter.results.summary import Summary
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.statistics.paired import value

PRUNED, QUANTIZED = "l1_unstructured:overall:0.5", "dynamic_int8:overall"
KNOWN = [True] * 40 + [False] * 20


def cells_by(summary: Summary) -> dict[tuple[str, str], CellSummary]:
    return {(cell.recipe, cell.task): cell for cell in summary.cells}


def test_cells(full_run: str) -> None:
    summary = open_run(full_run).summary
    cells = cells_by(summary)
    assert list(cells) == [
        ("baseline", "piqa"), ("baseline", "lama/trex"), (PRUNED, "piqa"), (PRUNED, "lama/trex"),
        (QUANTIZED, "piqa"),
    ]  # fmt: skip
    baseline, pruned = cells["baseline", "piqa"], cells[PRUNED, "piqa"]
    assert (baseline.accuracy.value, baseline.items, baseline.seconds, baseline.metrics) == (
        0.75,
        4,
        1.5,
        {"acc": 0.75},
    )
    assert baseline.accuracy.low < 0.75 < baseline.accuracy.high
    assert (baseline.drop, baseline.p_value, baseline.p_holm, baseline.retained, baseline.gained) == (None,) * 5
    assert not baseline.is_significant
    assert (value(pruned.drop), pruned.forgotten, pruned.gained, pruned.flips) == (0.25, 2, 1, 0.75)
    assert value(pruned.retained) == pytest.approx(1 / 3)
    assert pruned.prediction_flips == 0.75
    quantized = cells[QUANTIZED, "piqa"]
    assert (value(quantized.drop), value(quantized.retained), quantized.flips, quantized.p_value) == (0, 1, 0, 1)
    # The baseline knew nothing of this task.
    unknown = cells[PRUNED, "lama/trex"]
    assert (unknown.retained, unknown.gained) == (None, 1)


def test_variants_tasks_and_failures(full_run: str) -> None:
    summary = open_run(full_run).summary
    assert [(each.recipe, each.sparsity, each.removed_weights) for each in summary.variants] == [
        ("baseline", None, 0),
        (PRUNED, 0.5, 5),
        (QUANTIZED, None, None),
    ]
    assert summary.variants[1].bitmask_bytes == 60
    assert summary.variants[1].simulated is False
    assert summary.variants[2].simulated is None
    assert [(each.task, each.items) for each in summary.tasks] == [("piqa", 4), ("lama/trex", 3)]
    # Of two choices, one is right in three items, both in the fourth.
    assert summary.cells[0].chance == pytest.approx((3 / 2 + 1) / 4)
    assert summary.cells[0].majority_accuracy == pytest.approx(3 / 4)
    assert [(each.recipe, each.task, each.error) for each in summary.failures] == [
        (QUANTIZED, "lama/trex", "MemoryError: no room")
    ]
    assert summary.missing == ()


def test_holm_over_all_comparisons_of_the_run(write_run: Callable[..., str]) -> None:
    forgets = [False] * 12 + KNOWN[12:]
    summary = open_run(
        write_run(
            {
                ("baseline", "piqa"): KNOWN,
                (PRUNED, "piqa"): forgets,
                (QUANTIZED, "piqa"): [False] * 6 + KNOWN[6:],
                ("baseline", "lama/trex"): KNOWN,
                (PRUNED, "lama/trex"): KNOWN,
            }
        )
    ).summary
    compared = [cell for cell in summary.cells if cell.recipe != "baseline"]
    p_values = [mcnemar([[0, lost], [0, 0]], exact=True).pvalue if lost else 1.0 for lost in (12, 0, 6)]
    assert [cell.p_value for cell in compared] == pytest.approx(p_values)
    assert [cell.p_holm for cell in compared] == pytest.approx(multipletests(p_values, method="holm")[1])
    assert [cell.is_significant for cell in compared] == [True, False, False]
    assert summary.missing == (("org/tiny", QUANTIZED, "lama/trex"),)


def test_without_the_baseline(write_run: Callable[..., str]) -> None:
    summary = open_run(write_run({(PRUNED, "piqa"): [True, False]})).summary
    (cell,) = summary.cells
    assert cell.accuracy.value == 0.5
    assert (cell.drop, cell.p_value, cell.p_holm, cell.retained, cell.flips) == (None,) * 5
    assert len(summary.missing) == 5


def test_one_item(write_run: Callable[..., str]) -> None:
    summary = open_run(write_run({("baseline", "piqa"): [True], (PRUNED, "piqa"): [False]})).summary
    cell = summary.cells[1]
    assert (value(cell.drop), cell.p_holm, value(cell.retained)) == (1, 1, 0)


def test_no_cells_yet(write_run: Callable[..., str]) -> None:
    summary = open_run(write_run({})).summary
    assert summary.cells == summary.tasks == summary.failures == ()
    assert len(summary.variants) == 3
    assert len(summary.missing) == 6


def test_a_baseline_with_other_items_is_paired_by_item(write_run: Callable[..., str]) -> None:
    location = write_run({("baseline", "piqa"): [True, True, False, False]})
    Path(location, "items", "piqa.parquet").unlink()
    cell = Cell(Variant("id4", parse_model_reference("org/tiny"), parse_recipe(PRUNED)), "piqa")
    answers = {3: True, 1: False, 0: True, 9: True}
    outcomes = [Outcome(f"piqa/{at}", right, "4", "4", 1, 0.0, ()) for at, right in answers.items()]
    RunStore(location).write_outcomes(cell, outcomes, {})
    pruned = open_run(location).summary.cells[1]
    # Items 0, 1 and 3 are shared: known, forgotten, gained.
    assert (pruned.items, pruned.accuracy.value) == (4, 0.75)
    assert (pruned.forgotten, pruned.gained, value(pruned.retained)) == (1, 1, 0.5)
    assert pruned.flips == pytest.approx(2 / 3)


def test_chance_and_majority_are_those_of_the_items_that_each_variant_was_scored_on(tmp_path: Path) -> None:
    # Of two choices, the right ones are 0, 1, 1 and both.
    location = str(tmp_path / "run")
    run, scored = builder(location), {"baseline": [0, 1, 2, 3], PRUNED: [1, 2], QUANTIZED: [0]}
    run.items("piqa", make_items("piqa", 4))
    for recipe, places in scored.items():
        right = make_outcomes("piqa", [True] * 4)
        run.outcomes(recipe, "piqa", [right[place] for place in places])
    cells = open_run(location).summary.cells
    assert [(cell.chance, cell.majority_accuracy) for cell in cells] == [(0.625, 0.75), (0.5, 1.0), (0.5, 1.0)]
    assert [cell.p_majority for cell in cells] == [1.0] * 3


def test_a_baseline_without_shared_items(write_run: Callable[..., str]) -> None:
    location = write_run({("baseline", "piqa"): [True, True]})
    Path(location, "items", "piqa.parquet").unlink()
    cell = Cell(Variant("id4", parse_model_reference("org/tiny"), parse_recipe(PRUNED)), "piqa")
    RunStore(location).write_outcomes(cell, [Outcome("piqa/9", True, "4", "4", 1, 0.0, ())], {})
    assert open_run(location).summary.cells[1].drop is None


def test_a_cell_not_in_the_study_is_shown(full_run: str) -> None:
    cell = Cell(Variant("other", parse_model_reference("org/other"), parse_recipe("baseline")), "boolq")
    RunStore(full_run).write_outcomes(cell, [Outcome("boolq/0", True, "4", "4", 1, 0.0, ())], {})
    summary = open_run(full_run).summary
    assert (summary.cells[-1].model, summary.cells[-1].task) == ("org/other", "boolq")
    assert summary.cells[-1].chance is None


def test_broken_cells_count_as_missing(full_run: str) -> None:
    (Path(full_run) / "variants" / "id4" / "piqa.parquet").write_bytes(b"PAR1")
    assert open_run(full_run).summary.missing == (("org/tiny", PRUNED, "piqa"),)
