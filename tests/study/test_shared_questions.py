"""Questions that two tasks share, or that a file asks twice.

Covers ``records.question_key``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forgetmeter.records.generation import Generation
from forgetmeter.records.item import Cloze, Item, Problem, Request, Requests, WholeText
from forgetmeter.records.question_key import question_key, shared_questions
from forgetmeter.results.findings.evidence import gather
from forgetmeter.results.gate.gating import gate
from forgetmeter.results.results import open_run
from forgetmeter.study.running import run


def question(prompt: str, *choices: str, gold: int = 0) -> Item:
    requests = Requests(Request(prompt, f" {choice}") for choice in choices)
    return Item(f"t/{prompt}", prompt, requests, choices, (gold,))


def test_order_and_spaces_make_no_other_question() -> None:
    first = question_key(question("Two and two is", "four", "six"))
    assert question_key(question("Two and two is ", "six", "four", gold=1)) == first
    assert question_key(question("Two and two is", "four", "six", gold=1)) != first
    assert question_key(question("Two and two is", "four", "nine")) != first


def test_a_cloze_is_told_by_its_text_and_right_answer() -> None:
    one, other = (Item("t/1", "h", Cloze("Oslo is in", ".", "candidates"), ("Norway", "Sweden"), (g,)) for g in (0, 1))
    assert question_key(one) != question_key(other)


def test_a_question_whose_answer_is_written_is_told_by_its_text() -> None:
    one, other = (Item("t/1", "h", Generation(text, {"until": ["."]})) for text in ("2 + 2 =", "2 + 3 ="))
    assert question_key(one) == question_key(replace(one, asks=Generation(" 2 + 2 =", {"until": []})))
    assert len({question_key(one), question_key(other)}) == 2


def test_texts_without_right_answers_may_be_read_twice() -> None:
    items = [Item("t/1", "h", WholeText("text")), Item("t/2", "h", Problem("empty"))]
    assert [question_key(item) for item in items] == [None, None]
    assert shared_questions({"perplexity": items, "divergence": items}, ["divergence"]) == {}


@pytest.mark.parametrize(("shared", "is_told"), [(0, False), (2, False), (3, True), (20, True)])
def test_tasks_may_have_a_tenth_in_common(shared: int, is_told: bool) -> None:
    one = [question(f"{number} is", "even", "odd") for number in range(20)]
    other = [question(f"{number} is", "even", "odd") for number in range(20 - shared, 80)]
    found = shared_questions({"one": one, "other": list(reversed(other))}, ["other"])
    assert found == ({("one", "other"): shared} if is_told else {})
    assert shared_questions({"one": one, "other": other}, []) == {}


@pytest.mark.parametrize("is_added", [False, True])
def test_a_task_that_asks_what_another_asks_is_no_evidence_of_its_own(tmp_path: Path, is_added: bool) -> None:
    """Even if it is added later, in another order and with ids."""
    body = [f'{number} is,"[""even"", ""odd""]",{number % 2}' for number in range(40)]
    (tmp_path / "one.csv").write_text("\n".join(["prompt,choices,answer", *body]) + "\n")
    named = [f"{line},q{number}" for number, line in enumerate(reversed(body))]
    (tmp_path / "other.csv").write_text("\n".join(["prompt,choices,answer,id", *named]) + "\n")
    recipe = "l1_unstructured:overall:0.9"
    study = {"models": ["standard:decoder"], "recipes": [recipe], "output": str(tmp_path / "run")}
    one, other = (f"file:{tmp_path / name}.csv" for name in ("one", "other"))
    if is_added:
        run({**study, "tasks": [one]})
    run({**study, "tasks": [one, other]})
    evidence = gather(open_run(study["output"]).run, open_run(study["output"]).summary)[0].tasks
    assert [each.repeats for each in evidence] == [None, one]
    assert evidence[1].problem == f"it repeats questions of {one}, which would count twice"
    policy = tmp_path / "gate.yaml"
    policy.write_text("version: 1\nconditions:\n  - drop: {max: 50pt, by: all}\n  - drop: {max: 50pt}\n")
    (variant,) = gate(study["output"], policy=policy).variants
    together, *alone = variant.results
    assert (
        together.reason == f"'{other}' repeats questions of '{one}', which would count twice; "
        "list the tasks to average, and leave out one of these two"
    )
    assert together.verdict == "UNMEASURED"
    assert [result.check.task for result in alone] == [one, other]
    assert not any("repeats" in result.reason for result in alone)
