"""A model whose files change or disappear while a run goes on: no answer is stored under another model's identity."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny_models import make_llama

from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Progress
from forgetmeter.models.location import locate
from forgetmeter.records.cell import Cell
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.study.running import run


class Meanwhile(Progress):
    """Does something once the models have been checked, before any is loaded."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do

    def amount(self, tokens: Mapping[Cell, int]) -> None:
        self._do()


@pytest.fixture
def model(llama_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(llama_folder, tmp_path / "model")


@pytest.fixture
def facts(model: Path, tmp_path: Path) -> dict[str, Any]:
    recipes = ["l1_unstructured:overall:0.5"]
    return {
        "models": [str(model)],
        "recipes": recipes,
        "tasks": ["facts:templates=0"],
        "evaluation.limit": 2,
        "output": str(tmp_path / "run"),
    }


def answers(output: str) -> list[str]:
    return [path for path in RunFolder(output).list("variants") if path.endswith(".parquet")]


@pytest.mark.parametrize("workers", [1, 2])
def test_other_weights_are_refused(facts: dict[str, Any], model: Path, workers: int) -> None:
    says = r"model '.*model': its files changed after the run was started; run the same command again to recheck them"
    with pytest.raises(UserError, match=says):
        run(facts, workers=workers, progress=Meanwhile(lambda: make_llama(seed=1).save_pretrained(model)))
    assert answers(facts["output"]) == []
    with pytest.raises(UserError, match="changed since the run at|holds a run of another study"):
        run(facts)


def test_a_folder_that_disappears_is_one_line(facts: dict[str, Any], model: Path) -> None:
    with pytest.raises(UserError) as caught:
        run(facts, progress=Meanwhile(lambda: shutil.rmtree(model)))
    assert "\n" not in str(caught.value)
    assert answers(facts["output"]) == []


def test_the_same_content_with_another_time_is_accepted(facts: dict[str, Any], model: Path) -> None:
    assert run(facts, progress=Meanwhile((model / "config.json").touch)).failures == ()


def test_content_is_compared_only_if_a_stamp_differs(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location = locate(parse_model_reference(str(model)))
    assert location.identity
    read: list[Path] = []
    monkeypatch.setattr("forgetmeter.models.location._content", lambda path: read.append(path) or "")
    location.refuse_changed()
    assert read == []
    (model / "config.json").touch()
    with pytest.raises(UserError, match="its files changed"):
        location.refuse_changed()
    assert read == [model]


class WhileReading(Progress):
    """Does something once, as soon as the first cell is started."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do: list[Callable[[], object]] = [do]

    def cell_started(self, cell: Cell, *, items: int) -> None:
        while self._do:
            self._do.pop()()


def test_weights_that_are_overwritten_while_they_are_read_are_noticed(
    facts: dict[str, Any], model: Path, tmp_path: Path
) -> None:
    """Weights may be mapped to the file, so that what is written there is what is computed with."""
    file, whole = model / "model.safetensors", (model / "model.safetensors").read_bytes()
    make_llama(seed=1).save_pretrained(tmp_path / "other")
    other = (tmp_path / "other" / "model.safetensors").read_bytes()
    finished = run(facts, progress=WhileReading(lambda: file.write_bytes(other)))
    assert len(finished.failures) == 2
    assert answers(facts["output"]) == []
    # Even if the file is what it was when its content is next looked at.
    file.write_bytes(whole)
    again = run(facts, progress=WhileReading(lambda: (file.write_bytes(other), file.write_bytes(whole))))
    assert len(again.failures) == 2
    assert run(facts).failures == ()


def test_other_settings_of_generation_are_noticed(facts: dict[str, Any], model: Path) -> None:
    """They say where generated texts end, which is part of a model's identity."""
    settings = model / "generation_config.json"
    finished = run(facts, progress=WhileReading(lambda: settings.write_text('{"eos_token_id": [1, 7]}')))
    assert len(finished.failures) == 2


def test_answers_with_the_calibration_of_a_replaced_run_are_not_taken_for_those_of_the_new(
    facts: dict[str, Any],
) -> None:
    output = Path(facts["output"])
    study = {**facts, "recipes": ["wanda:overall:0.5"], "calibration.length": 8, "calibration.sequences": 2}
    new = {**study, "calibration.sequences": 3}

    def replaced() -> None:
        shutil.rmtree(output)
        run(new)
        # What the second process has stored would be kept.
        for path in output.glob("variants/*/*.parquet"):
            path.unlink()

    with pytest.raises(
        UserError, match="replaced by another while this one went on: it now holds another calibration te"
    ):
        run(study, progress=WhileReading(replaced))
    # The baseline, which no text calibrates, belongs to either.
    assert len(answers(str(output))) <= 1


@pytest.mark.parametrize(
    ("changed", "what"),
    [({"prompt": "another number:"}, "other items"), ({"group": "another"}, "another definition")],
)
def test_answers_to_the_questions_of_a_replaced_run_are_not_taken_for_those_of_the_new(
    facts: dict[str, Any], tmp_path: Path, changed: dict[str, str], what: str
) -> None:
    file, output = tmp_path / "questions.jsonl", Path(facts["output"])

    def ask(**others: str) -> None:
        asked = {"prompt": "a number:", "choices": ["a", "b"], "answer": 0, "group": "one"} | others
        rows = [asked | {"prompt": f"{number}, {asked['prompt']}"} for number in range(4)]
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")

    def replaced() -> None:
        shutil.rmtree(output)
        ask(**changed)
        run(study)
        # What the second process has stored would be kept.
        for path in output.glob("variants/*/*.parquet"):
            path.unlink()

    ask()
    study = {**facts, "tasks": [f"file:{file}"], "recipes": ["baseline"]}
    study.pop("evaluation.limit")
    with pytest.raises(UserError, match=f"was replaced by another while this one went on: it now holds {what} of task"):
        run(study, progress=WhileReading(replaced))
    assert run(study).computed == 1
