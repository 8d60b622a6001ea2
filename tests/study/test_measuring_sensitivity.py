"""Sensitivities of a standard's parts, against asking every part everything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Progress
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import Cloze
from forgetmeter.results.results import open_run
from forgetmeter.results.sensitivity import Sensitivity
from forgetmeter.study.checked_study import CheckedStudy, Finished
from forgetmeter.study.measuring_sensitivity import SensitivityRequest, measure_sensitivity, step_of
from forgetmeter.study.running import run, run_checked

MODEL = "standard:decoder"
FACTS = "facts:templates=0"
METHOD = "l1_unstructured:0.75"
PRECISION = 0.02


class Counting(Progress):
    def __init__(self) -> None:
        self.computed: list[list[str]] = []
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def complete(self, checked: CheckedStudy) -> Finished:
        self.computed.append([str(cell.variant.recipe) for cell in checked.missing])
        return run_checked(checked)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The standard's facts as questions without relations, so that they are asked one by one, with four choices."""
    lines = []
    for place, item in enumerate(load_task(FACTS).items):
        if isinstance(item.asks, Cloze) and item.asks.after == ".":
            gold = item.choices[item.gold[0]]
            others = [choice for choice in item.choices if choice != gold]
            choices = sorted({gold, *(others[(place + step) % len(others)] for step in (0, 5, 9))})
            lines.append({"id": str(place), "prompt": item.asks.before.strip(), "choices": choices, "answer": gold})
    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return f"file:{path}"


def request(task: str, output: Path, **changes: object) -> SensitivityRequest:
    given = {"methods": (METHOD,), "by": "component", "precision": PRECISION, **changes}
    return SensitivityRequest(MODEL, (task,), str(output), **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(questions: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[SensitivityRequest, Counting]:
    listener = Counting()
    asked = request(questions, tmp_path_factory.mktemp("measured") / "run")
    assert measure_sensitivity(asked, listener=listener, complete=listener.complete).unusable == ()
    return asked, listener


def found(location: str | Path) -> Sensitivity:
    (only,) = open_run(location).sensitivities
    return only


@pytest.mark.slow
def test_more_items_are_asked_where_the_order_is_undecided(measured: tuple[SensitivityRequest, Counting]) -> None:
    asked, listener = measured
    baseline, first, *others = listener.computed
    assert (baseline, len(first)) == (["baseline"], 6)
    assert others
    assert all(set(each) < set(first) for each in others)
    parts = found(asked.output).parts
    assert {part.precision for part in parts} > {4 * PRECISION}
    undecided = [part.precision for part in found(asked.output).undecided()]
    assert all(precision is None or precision <= PRECISION for precision in undecided)
    assert len({part.items for part in parts}) > 1
    rounds = [stage for stage in listener.stages if stage.startswith("round")]
    assert rounds[0] == "round 1 of 3: 6 cells, until the drop is known to ±8 points"
    assert "whose order is undecided, until the drop is known to ±" in rounds[1]


@pytest.mark.slow
def test_the_halves_are_those_of_asking_everything(
    measured: tuple[SensitivityRequest, Counting], tmp_path: Path
) -> None:
    asked, _ = measured
    recipes = [part.recipe for part in found(asked.output).parts]
    run({"models": [MODEL], "recipes": recipes, "tasks": list(asked.tasks), "output": str(tmp_path / "whole")})
    whole, few = found(tmp_path / "whole"), found(asked.output)
    assert {part.recipe for part in whole.parts[:3]} == {part.recipe for part in few.parts[:3]}
    exact = {part.recipe: part.drop.value for part in whole.parts}
    assert all(part.drop.low <= exact[part.recipe] <= part.drop.high for part in few.parts)
    assert sum(part.items for part in few.parts) < sum(part.items for part in whole.parts) / 2


def test_the_same_request_asks_nothing_again(measured: tuple[SensitivityRequest, Counting]) -> None:
    asked, _ = measured
    before, listener = found(asked.output), Counting()
    measure_sensitivity(asked, listener=listener, complete=listener.complete)
    assert listener.computed == [[]]
    assert found(asked.output) == before


def test_a_cell_that_fails_is_not_asked_for_ever(questions: str, tmp_path: Path) -> None:
    """Its coarse answers stay, so its order stays undecided."""
    listener = Counting()
    asked = request(questions, tmp_path / "run")

    def complete(checked: CheckedStudy) -> Finished:
        if len(listener.computed) > 1:
            listener.computed.append([str(cell.variant.recipe) for cell in checked.missing])
            return Finished(checked.plan.study.output, len(checked.plan.cells), 0, ())
        return listener.complete(checked)

    measure_sensitivity(asked, listener=listener, complete=complete)
    # The baseline, the first round, and once in each of the two last rounds.
    assert len(listener.computed) == 4


def test_a_model_that_knows_nothing_is_asked_once(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    question = {"choices": ["aa", "bb"], "answer": "bb"}
    rows = [{**question, "prompt": f"The capital of France{'.' * place} is"} for place in range(9)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    listener = Counting()
    with pytest.raises(UserError, match=r"parts of standard:decoder cannot be compared: .* needs at least 20 \(run"):
        measure_sensitivity(request(f"file:{path}", tmp_path / "run"), listener=listener, complete=listener.complete)
    assert listener.computed == [["baseline"]]


def test_parts_that_a_method_does_not_fit_are_left_out(tmp_path: Path) -> None:
    asked = request(FACTS, tmp_path / "run", methods=("l1_heads:0.5",), options={"evaluation.limit": 2})
    made = measure_sensitivity(asked)
    assert len(made.unusable) == 3
    assert all("layers" in recipe and "feed_forward" in recipe for recipe, _ in made.unusable)
    assert all(part.scope.selector == "attention" for part in found(asked.output).parts)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"methods": ("l1:0.5",)}, "unknown method 'l1'"),
        ({"methods": ("l1_unstructured",)}, "missing level: l1_unstructured takes a fraction"),
        ({"methods": ("l1_unstructured:7",)}, "invalid level 7"),
        ({"methods": ("l1_unstructured:attention:0.5",)}, "write METHOD:LEVEL"),
        ({"methods": ("l1_unstructured:0.5+round_to_nearest:overall:3",)}, "write METHOD:LEVEL"),
        ({"methods": ("l1_heads:0.5",), "by": "role"}, "choose a scope with all four"),
        ({"methods": ()}, "name at least one method"),
        ({"methods": ("drop_layers:0.5",)}, "drop_layers removes whole blocks; use it with --by layer"),
        ({"methods": ("lora_recover",)}, "lora_recover only works after other steps, so it cannot be measured alone"),
        ({"bands": 4}, "--layers must be from 1 to 3, the number of layers"),
        ({"precision": 0.7}, "precision must be a number above 0 and at most 0.5"),
        ({"tasks": ("divergence",)}, "no right answers to lose"),
        ({"model": "standard:decodr"}, "did you mean 'decoder'"),
    ],
)
def test_wrong_requests_are_refused_before_any_work(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    given = {"model": MODEL, "tasks": (FACTS,), "output": str(tmp_path / "run"), **changes}
    with pytest.raises(UserError, match=says) as error:
        measure_sensitivity(SensitivityRequest(**given))  # type: ignore[arg-type]
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_options_of_a_method_are_read() -> None:
    assert str(step_of("round_to_nearest:3:group_size=64")) == "round_to_nearest:overall:3:group_size=64"
    assert str(step_of(" n_m:n=1:m=4 ")) == "n_m:overall:m=4:n=1"
    assert str(step_of("dynamic_int8")) == "dynamic_int8:overall"
