"""The noise floor, from the study to the verdict.

Covers ``study.running`` and ``records.noise``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up_task import SIZE, MadeUpTask, plug_in

from forgetmeter.errors import UserError
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.noise import Noise
from forgetmeter.report.formats.rendering import render
from forgetmeter.report.words.run_facts import run_facts
from forgetmeter.results.results import open_run
from forgetmeter.runs.run_store import RunStore
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.question import Prepared
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import Recipe
from forgetmeter.study.running import run
from forgetmeter.study.verifying import verify

RECIPE = "dynamic_int8:attention"


@pytest.fixture
def study(llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    plug_in(monkeypatch, {"made_up": MadeUpTask})
    return {"models": [str(llama_folder)], "recipes": [RECIPE], "tasks": ["made_up"], "output": str(tmp_path / "run")}


def test_the_baseline_is_asked_twice_in_other_batches(study: dict[str, Any]) -> None:
    run({**study, "evaluation.noise_floor": True, "evaluation.batch_tokens": 200})
    (stored,) = RunStore(study["output"]).noises()
    # Both rows are batches of their own with 200 and with 50.
    assert (stored.noise.items, stored.noise.batch_tokens) == (SIZE, (200, 800))
    # Float32 rounds a little differently in other shapes, but no answer changes here.
    assert (stored.noise.forgotten, stored.noise.gained) == (0, 0)
    assert stored.noise.largest_margin_shift < 1e-3
    summary = open_run(study["output"]).summary
    assert [cell.noise_floor for cell in summary.cells] == [None, 0.0]
    assert "noise 0.0%" in render(summary, "table", width=120)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_16_bits_the_baseline_is_compared_with_float32(tmp_path: Path, dtype: str) -> None:
    study = {"models": ["standard:decoder"], "recipes": ["l1_unstructured:overall:0.5"], "tasks": ["facts:templates=0"]}
    runs = {each: {**study, "evaluation.dtype": each, "output": str(tmp_path / each)} for each in (dtype, "float32")}
    run({**runs[dtype], "evaluation.noise_floor": True})
    run(runs["float32"])
    narrow, wide = (open_run(each["output"]).outcomes for each in (runs[dtype], runs["float32"]))
    both = [frame[frame["recipe"] == "baseline"].set_index("item_id") for frame in (narrow, wide)]
    ((_, noise),) = open_run(str(tmp_path / dtype)).run.noise.items()
    one, other = (frame["correct"] for frame in both)
    assert (noise.dtype, noise.forgotten, noise.gained) == ("float32", (one & ~other).sum(), (~one & other).sum())
    assert noise.changed == (both[0]["prediction"] != both[1]["prediction"]).sum()
    assert noise.largest_margin_shift == pytest.approx((both[0]["margin"] - both[1]["margin"]).abs().max(), abs=1e-4)
    assert noise.largest_margin_shift > 0.01
    assert verify(str(tmp_path / dtype)).problems == ()
    results = open_run(str(tmp_path / dtype))
    facts = [text for group in run_facts(results.run, results.summary) for _, text in group.facts]
    assert any(text.startswith("computing the baseline in float32 changes ") for text in facts)


def test_a_small_task_is_asked_in_other_batches_too(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    score, read = Engine.score, []

    def noted(engine: Engine, prepared: Prepared, **options: Any) -> Any:
        assert prepared.tokens < engine.batch_tokens or read
        read.append([batch.digest for batch in prepared.batches])
        return score(engine, prepared, **options)

    monkeypatch.setattr(Engine, "score", noted)
    run({**study, "recipes": ["baseline"], "evaluation.noise_floor": True})
    first, second = read
    assert not set(first) & set(second)


def test_it_can_be_measured_later_and_is_not_measured_twice(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(study)
    outcomes = {path: path.read_bytes() for path in Path(study["output"]).rglob("*.parquet")}
    assert RunStore(study["output"]).noises() == []
    assert run({**study, "evaluation.noise_floor": True}).computed == 1
    assert len(RunStore(study["output"]).noises()) == 1
    assert {path: path.read_bytes() for path in outcomes} == outcomes
    monkeypatch.setattr(Engine, "score", lambda *_: 1 / 0)
    assert run({**study, "evaluation.noise_floor": True}).computed == 0


def test_a_drop_within_the_noise_is_not_called_a_loss(study: dict[str, Any]) -> None:
    run(study)
    store = RunStore(study["output"])
    (cell,) = [each for each in store.cells() if each.facts["recipe"] == "baseline"]
    baseline = Variant(cell.variant, parse_model_reference(study["models"][0]), Recipe())
    store.write_noise(Cell(baseline, "made_up"), Noise(SIZE, 10, 10, 20, 1.0, (1024, 256)))
    after = open_run(study["output"]).summary.cells[1]
    assert after.noise_floor == pytest.approx(20 / SIZE)
    assert after.verdict == "unclear"


def test_it_must_be_true_or_false(study: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="must be true or false"):
        run({**study, "evaluation.noise_floor": 3})
