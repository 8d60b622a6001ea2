"""Asking that stops once a drop is known: from the option to the tables.

Covers ``executors.cell_answers``, ``statistics.asking_order``, ``statistics.stopping_rule`` and
``results.compared.stopped``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forgetmeter.executors.executor import Progress
from forgetmeter.executors.stopping import Stopping
from forgetmeter.models.standard import standard_folder
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Item, Requests
from forgetmeter.records.outcome import Outcome
from forgetmeter.records.stop_rule import StopRule
from forgetmeter.report.formats.rendering import render
from forgetmeter.report.side_by_side import side_by_side
from forgetmeter.results.gate.gating import gate
from forgetmeter.results.results import open_run
from forgetmeter.scoring.engine import Engine
from forgetmeter.statistics.anytime import Drawn, anytime_interval, anytime_p_value
from forgetmeter.statistics.asking_order import units_in_order
from forgetmeter.study.running import run
from forgetmeter.study.verifying import verify

ITEMS = 400
RECIPES = ["l1_unstructured:overall:0.3", "round_to_nearest:overall:8"]


@pytest.fixture
def study(tmp_path: Path) -> dict[str, Any]:
    """Return a study of made-up questions, which the smallest model answers at random."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(ITEMS):
        first, second, other = random.integers(10, 99, size=3)
        rows.append(
            {"prompt": f"{first} and {second} is", "choices": [f"{other}", f"{other + 1}"], "answer": number % 2}
        )
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return {
        "models": ["standard:decoder"],
        "recipes": RECIPES,
        "tasks": [f"file:{file}"],
        "output": str(tmp_path / "run"),
    }


def outcomes(study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    frame = open_run(study["output"]).outcomes
    return {
        str(recipe): group.set_index("item_id")[["correct", "margin"]].to_dict("index")
        for recipe, group in frame.groupby("recipe")
    }


def test_a_variant_that_quantizes_activations_stops_with_the_same_answers(
    study: dict[str, Any], tmp_path: Path
) -> None:
    study |= {"recipes": ["dynamic_int8:overall"]}
    whole = study | {"output": str(tmp_path / "whole")}
    run(whole)
    run({**study, "evaluation.precision": 0.1})
    part, everything = (outcomes(each)["dynamic_int8:overall"] for each in (study, whole))
    assert 0 < len(part) < ITEMS
    assert all(given["margin"] == pytest.approx(everything[item]["margin"], abs=1e-4) for item, given in part.items())


def test_a_cell_stops_when_its_drop_is_known_and_the_rest_is_asked_later(study: dict[str, Any]) -> None:
    assert run({**study, "evaluation.precision": 0.1}).computed == 3
    part = outcomes(study)
    assert len(part["baseline"]) == ITEMS
    assert all(0 < len(part[recipe]) < ITEMS for recipe in RECIPES)
    cells = open_run(study["output"]).summary.cells
    for cell in cells[1:]:
        assert cell.drop is not None
        assert cell.precision == 0.1
        assert (cell.drop.high - cell.drop.low) / 2 <= 0.1
    shown = " ".join(render(open_run(study["output"]).summary, "table", width=140).split())
    assert "2 cells stopped before the last item, once the drop was known to ±10 points" in shown
    # A wider precision is reached already, a narrower one is not, and the answers do not depend on it.
    assert run({**study, "evaluation.precision": 0.2}).computed == 0
    assert run({**study, "evaluation.precision": 0.06}).computed == 2
    assert len(outcomes(study)[RECIPES[0]]) > len(part[RECIPES[0]])
    assert run(study).computed >= 1
    whole = outcomes(study)
    for recipe in RECIPES:
        assert len(whole[recipe]) == ITEMS
        for item, given in part[recipe].items():
            assert given["correct"] == whole[recipe][item]["correct"]
            assert given["margin"] == pytest.approx(whole[recipe][item]["margin"], abs=1e-4)
    assert all(cell.precision is None for cell in open_run(study["output"]).summary.cells)
    # Once everything is asked, precision asks for nothing more.
    assert run({**study, "evaluation.precision": 0.01}).computed == 0


def test_a_cell_stops_when_a_gate_would_decide_and_the_rest_is_asked_later(study: dict[str, Any]) -> None:
    file = Path(study["tasks"][0].removeprefix("file:"))
    rows = [json.loads(row) for row in file.read_text(encoding="utf-8").splitlines()]
    random = np.random.default_rng(5)
    run({**study, "recipes": ["baseline"]})
    right = {item: given["correct"] for item, given in outcomes(study)["baseline"].items()}
    # Nine of ten questions have the answer that the model gives.
    for row, is_right in zip(rows, right.values(), strict=True):
        row["answer"] = row["answer"] if is_right or random.random() < 0.1 else 1 - row["answer"]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    study = {**study, "output": f"{study['output']}-known"}
    assert run({**study, "evaluation.margin": "10pt"}).computed == 3
    part = outcomes(study)
    stopped = [cell for cell in open_run(study["output"]).summary.cells if cell.precision is not None]
    assert stopped
    for cell in stopped:
        assert (cell.margin, cell.precision) == (0.1, 0.1)
        assert cell.drop is not None
        assert not cell.drop.low < 0.1 < cell.drop.high
        assert len(part[cell.recipe]) < ITEMS
    verdicts = {each.recipe: each.verdict for each in gate(study["output"], margin="10pt").variants}
    assert all(verdicts[cell.recipe] in ("PASS", "FAIL") for cell in stopped)
    shown = " ".join(render(open_run(study["output"]).summary, "table", width=140).split())
    assert "once it was certain whether the drop is at most 10 points. The intervals" in shown
    assert "Run the study again without --margin to evaluate all." in shown
    # Neither another margin nor a precision is reached by it.
    assert run({**study, "evaluation.margin": 0.1}).computed == 0
    assert run({**study, "evaluation.precision": 0.1}).computed == len(stopped)
    by_precision = [cell for cell in open_run(study["output"]).summary.cells if cell.precision is not None]
    assert run({**study, "evaluation.margin": 0.1}).computed == len(by_precision)
    run(study)
    assert all(len(given) == ITEMS for given in outcomes(study).values())
    assert run({**study, "evaluation.margin": 0.02}).computed == 0


def margins_of(study: dict[str, Any]) -> dict[str, tuple[int, int | None]]:
    cells = open_run(study["output"]).run.cells
    return {cell.recipe: (cell.rows, cell.facts.get("checks")) for cell in cells if cell.recipe != "baseline"}


def test_a_loss_is_asked_about_again_if_more_cells_are_to_be_decided_with_it(study: dict[str, Any]) -> None:
    """What is within the margin stays decided, however many others there are."""
    lost, kept = "l1_unstructured:overall:0.8", "round_to_nearest:overall:8"
    file = Path(study["tasks"][0].removeprefix("file:"))
    rows = [json.loads(row) for row in file.read_text(encoding="utf-8").splitlines()]
    run({**study, "recipes": ["baseline"]})
    for row, given in zip(rows, outcomes(study)["baseline"].values(), strict=True):
        row["answer"] = row["answer"] if given["correct"] else 1 - row["answer"]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    study = {**study, "output": f"{study['output']}-known", "recipes": [lost, kept], "evaluation.margin": "20pt"}
    run(study)
    before = margins_of(study)
    assert (before[lost][1], before[kept][1]) == (2, 0)
    assert max(rows for rows, _ in before.values()) < ITEMS
    verdicts = {each.recipe: each.verdict for each in gate(study["output"], margin="20pt").variants}
    assert verdicts == {lost: "FAIL", kept: "PASS"}
    more = [f"l1_unstructured:attention:{level / 100}" for level in range(1, 9)]
    added = {**study, "recipes": [lost, kept, *more]}
    assert run(added).computed == len(more) + 1
    after = margins_of(added)
    assert after[kept] == before[kept]
    assert after[lost][1] == 10
    assert {each.recipe: each.verdict for each in gate(added["output"], margin="20pt").variants}[lost] == "FAIL"
    fresh = {**added, "output": f"{study['output']}-fresh"}
    run(fresh)
    assert margins_of(fresh) == after


def test_a_task_with_relations_is_asked_in_full_as_without_a_margin(tmp_path: Path) -> None:
    recipes = ["round_to_nearest:overall:6", "round_to_nearest:overall:2"]
    study = {"models": ["standard:decoder"], "tasks": ["facts:templates=0"], "recipes": recipes}
    for name, more in (("margin", {"evaluation.margin": "2pt"}), ("plain", {})):
        run({**study, **more, "output": str(tmp_path / name)})
    with_margin, plain = (open_run(tmp_path / name) for name in ("margin", "plain"))
    assert [cell.drop for cell in with_margin.summary.cells] == [cell.drop for cell in plain.summary.cells]
    assert all(cell.aim is None for cell in with_margin.summary.cells)
    assert [each.verdict for each in gate(with_margin, margin="2pt").variants] == ["PASS", "FAIL"]


@pytest.mark.parametrize("option", ["margin", "precision"])
def test_questions_that_a_candidate_cannot_be_asked_count_as_right_or_wrong(tmp_path: Path, option: str) -> None:
    """Half of the questions are too long for it; decided as without stopping."""
    base, short = tmp_path / "base", tmp_path / "short"
    shutil.copytree(standard_folder("decoder"), base)
    shutil.copytree(base, short)
    config = json.loads((short / "config.json").read_text("utf-8"))
    (short / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 16}), "utf-8")
    random = np.random.default_rng(0)
    rows = []
    for number in range(600):
        first, second, other = random.integers(10, 99, size=3)
        words = " and 1" * (12 if number % 2 else 0)
        rows.append({"prompt": f"{first} and {second} is", "choices": [f"{other}{words}", f"{other + 1}{words}"]})
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(f"{json.dumps(row | {'answer': 0})}\n" for row in rows), encoding="utf-8")
    study = {"models": [str(base)], "tasks": [f"file:{file}"], "recipes": ["baseline"]}
    run({**study, "output": str(tmp_path / "known")})
    right = outcomes({"output": str(tmp_path / "known")})["baseline"].values()
    given = [row | {"answer": 0 if each["correct"] else 1} for row, each in zip(rows, right, strict=True)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in given), encoding="utf-8")
    study |= {"candidates": [str(short)], "output": str(tmp_path / "run"), f"evaluation.{option}": 0.05}
    run(study)
    results = open_run(tmp_path / "run")
    cell = results.run.cells[1]
    assert sum(cell.dropped.values()) >= 250
    ((result,),) = (each.results for each in gate(str(tmp_path / "run"), margin="5pt").variants)
    assert result.verdict == "INCONCLUSIVE"
    assert result.measured is not None
    assert result.measured.missing == sum(cell.dropped.values())
    assert result.measured.estimate.high > 0.4
    assert verify(str(tmp_path / "run")).problems == ()


class Meanwhile(Progress):
    """Does something once, as soon as a cell of a compressed variant is started."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do: list[Callable[[], object]] = [do]

    def cell_started(self, cell: Cell, *, items: int) -> None:
        while self._do and not cell.variant.recipe.is_baseline:
            self._do.pop()()


def test_a_process_that_could_stop_and_did_not_replaces_no_complete_answers(study: dict[str, Any]) -> None:
    """The usual intervals of the other process stay."""
    other = {**study, "recipes": RECIPES[:1]}
    with_margin = {**other, "evaluation.margin": 0.001}
    run(with_margin, progress=Meanwhile(lambda: run(other)))
    assert all(cell.aim is None for cell in open_run(study["output"]).summary.cells)


@pytest.mark.parametrize("narrow", [0.06, None])
def test_a_process_that_needs_fewer_answers_replaces_none_of_another(
    study: dict[str, Any], narrow: float | None
) -> None:
    other = {**study, "evaluation.precision": narrow}
    run({**study, "evaluation.precision": 0.2}, progress=Meanwhile(lambda: run(other)))
    assert run(other).computed == 0


def test_an_interrupted_cell_is_asked_again(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    score = Engine.score
    calls = iter(range(1000))

    def dies(*args: Any, **options: Any) -> Any:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return score(*args, **options)

    monkeypatch.setattr(Engine, "score", dies)
    with pytest.raises(KeyboardInterrupt):
        run({**study, "evaluation.precision": 0.05})
    assert list(outcomes(study)) == ["baseline"]
    monkeypatch.setattr(Engine, "score", score)
    assert run({**study, "evaluation.precision": 0.05}).computed == 2


def test_the_interval_is_over_the_items_in_the_order_of_asking(study: dict[str, Any]) -> None:
    """Recomputed from the outcomes alone."""
    run({**study, "evaluation.precision": 0.1})
    given = outcomes(study)
    ids = list(given["baseline"])
    for cell in open_run(study["output"]).summary.cells[1:]:
        order = [ids[place] for (place,) in units_in_order(ids, seed=0)]
        asked = [each for each in order if each in given[cell.recipe]]
        # Asked from the start, without a gap.
        assert asked == order[: len(asked)]
        drops = np.array(
            [given["baseline"][each]["correct"] - float(given[cell.recipe][each]["correct"]) for each in asked]
        )
        interval = anytime_interval(Drawn(drops, np.ones(len(drops)), low=-1, high=1, largest=1, aim=0.1))
        assert cell.drop is not None
        assert cell.drop.value == pytest.approx(drops.mean())
        assert (cell.drop.low, cell.drop.high) == pytest.approx((interval.low, interval.high))


def test_two_runs_side_by_side_are_compared_by_intervals_that_hold_whenever_asking_stops(study: dict[str, Any]) -> None:
    """Recomputed from the outcomes alone, for a run that stopped beside one of another model that did not."""
    run({**study, "evaluation.precision": 0.1})
    other = {**study, "models": ["standard:encoder-decoder"], "output": f"{study['output']}-other"}
    run(other)
    (table,) = side_by_side(open_run(study["output"]), open_run(other["output"])).tables
    one, two = outcomes(study), outcomes(other)
    for row in table.rows:
        order = [list(two["baseline"])[place] for (place,) in units_in_order(list(two["baseline"]), seed=0)]
        asked = [each for each in order if each in one[row.recipe]]
        gains = np.array([two[row.recipe][each]["correct"] - float(one[row.recipe][each]["correct"]) for each in asked])
        assert row.items == len(gains)
        assert row.difference is not None
        assert row.difference.value == pytest.approx(gains.mean())
        assert abs(gains).any()
        if row.recipe != "baseline":
            drawn = Drawn(gains, np.ones(len(gains)), low=-1, high=1, largest=1, aim=0.1)
            interval = anytime_interval(drawn)
            assert row.items < ITEMS
            assert (row.difference.low, row.difference.high) == pytest.approx((interval.low, interval.high))
            assert row.p_value == pytest.approx(anytime_p_value(drawn, 0))


def with_one_too_long(study: dict[str, Any]) -> None:
    file = Path(study["tasks"][0].removeprefix("file:"))
    rows = [json.dumps({"prompt": "word " * 3000, "choices": ["yes", "no " * 3000], "answer": 0})]
    file.write_text("".join(f"{row}\n" for row in [*file.read_text(encoding="utf-8").splitlines()[:150], *rows]))


def test_a_cell_of_which_all_that_can_be_asked_was_asked_did_not_stop(study: dict[str, Any]) -> None:
    with_one_too_long(study)
    run({**study, "evaluation.precision": 0.001})
    whole = open_run(study["output"]).summary.cells
    assert [(cell.items, cell.precision) for cell in whole] == [(150, None)] * 3
    # The usual interval of the same number of items, not one that allows for stopping.
    assert all(cell.drop is None or cell.drop.high - cell.drop.low < 0.25 for cell in whole)
    assert run({**study, "evaluation.precision": 0.0005}).computed == 0


def test_a_failure_of_asking_again_is_told(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run({**study, "evaluation.precision": 0.2})
    before = outcomes(study)

    def dies(*_: Any, **__: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(Engine, "score", dies)
    finished = run({**study, "evaluation.precision": 0.06})
    assert {failure.error for failure in finished.failures} == {"MemoryError: no room"}
    assert outcomes(study).keys() == before.keys()


def test_a_part_may_hold_nothing_that_can_be_asked(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a candidate with a shorter window than its baseline's."""
    with_one_too_long(study)
    monkeypatch.setattr(Stopping, "parts", lambda _: [[150], *([place] for place in range(150))])
    finished = run({**study, "evaluation.precision": 0.2})
    assert finished.failures == ()


def test_cells_of_part_of_a_computation_have_no_speed(study: dict[str, Any]) -> None:
    run({**study, "recipes": ["l1_unstructured:head:0.3", "l1_unstructured:overall:0.3"]})
    timed = {cell.recipe: cell.is_timed for cell in open_run(study["output"]).summary.cells}
    # The baseline's time includes keeping states for the variant of the head.
    assert timed == {"baseline": False, "l1_unstructured:head:0.3": False, "l1_unstructured:overall:0.3": True}


def made_up(number: int, relation: str | None = None) -> Item:
    fields = {} if relation is None else {"relation": relation}
    return Item(f"made_up/{number}", "", Requests(()), ("a", "b"), (0,), fields)


def test_relations_are_asked_as_a_whole() -> None:
    items = [made_up(number, f"r{number % 12}") for number in range(360)]
    before = {item.id: True for item in items}
    stopping = Stopping(items, before, rule=StopRule(0.05), seed=0)
    for part in stopping.parts():
        relations = {items[place].fields["relation"] for place in part}
        assert sorted(part) == [place for place, item in enumerate(items) if item.fields["relation"] in relations]
    # All relations change alike, but twelve of them say less than 360 items.
    after = [Outcome(item.id, True, "", "", None, None, ()) for item in items]
    assert stopping.met(after, asked=len(items)) is None
    alone = Stopping([replace(item, fields={}) for item in items], before, rule=StopRule(0.05), seed=0)
    assert alone.met(after, asked=len(items)) == StopRule(0.05)


def test_what_the_baseline_could_not_be_asked_is_not_asked() -> None:
    items = [made_up(number) for number in range(200)]
    before = {item.id: True for item in items[::2]}
    parts = list(Stopping(items, before, rule=StopRule(0.05), seed=0).parts())
    assert sorted(place for part in parts for place in part) == list(range(0, 200, 2))


def test_the_order_depends_on_the_seed_and_not_on_the_other_items() -> None:
    keys = [f"task/{number}" for number in range(100)]
    order = [keys[place] for (place,) in units_in_order(keys, seed=0)]
    assert order != [keys[place] for (place,) in units_in_order(keys, seed=1)]
    some = keys[::3]
    assert [some[place] for (place,) in units_in_order(some, seed=0)] == [key for key in order if key in some]


def test_drops_of_tasks_that_stopped_at_a_margin_are_not_averaged(tmp_path: Path) -> None:
    """They lean away from the margin: means over 40 such tasks would be wrong in 9 of 10 runs."""
    tasks = [f"facts:relations={relation}:templates=0" for relation in ("country_capital", "country_continent")]
    study = {"models": ["standard:decoder"], "recipes": ["l1_unstructured:overall:0.7"], "tasks": tasks}
    run({**study, "output": str(tmp_path / "run"), "evaluation.margin": "5pt"})
    policy = tmp_path / "gate.yaml"
    policy.write_text("version: 1\nconditions:\n- drop: {max: 5pt}\n- drop: {max: 5pt, by: all}\n", encoding="utf-8")
    *alone, mean = gate(str(tmp_path / "run"), policy=policy).variants[0].results
    assert [check.verdict for check in alone] == ["FAIL", "FAIL"]
    assert (mean.verdict, mean.measured) == ("UNMEASURED", None)
    assert mean.reason.startswith("tasks on which it stopped early (--margin) cannot be averaged")
    found = open_run(str(tmp_path / "run")).standings(["baseline", "l1_unstructured:overall:0.7"])
    assert found.counted == ()
    assert "variants stopped early (--margin)" in found.reasons
    assert {*open_run(str(tmp_path / "run")).findings["verdict"].dropna()} == {"not tested"}
