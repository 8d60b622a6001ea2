"""Documents of logs that cannot be judged are left out and named, and change nothing else.

Covers ``importing.lm_eval.left_out_documents`` and ``importing.lm_eval.judged_task``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from importing.lm_eval.made_up_logs import Sampled, choosing, imported, notes, reading, writing

from forgetmeter.errors import UserError
from forgetmeter.report.formats.show_text import show_text

DROPPED = object()


def changed(sample: Sampled, value: object, *names: str) -> Sampled:
    changes = sample | dict.fromkeys(names, value)
    return {name: each for name, each in changes.items() if each is not DROPPED}


def right_or_wrong(wrong: int) -> list[Sampled]:
    """Return five documents, of which the first few are answered wrong; ``B`` is always right."""
    return [choosing(each, [-1.0, -2.0, -3.0] if each < wrong else [-2.0, -1.0, -3.0], right=1) for each in range(5)]


@pytest.mark.parametrize("single", [0, 4])
@pytest.mark.parametrize("results", [None, {"configs": {"t": {"output_type": "multiple_choice"}}}])
def test_a_document_with_one_choice_is_left_out_wherever_it_is(
    tmp_path: Path, single: int, results: dict[str, Any] | None
) -> None:
    base, other = right_or_wrong(0), right_or_wrong(3)
    base[single] = other[single] = choosing(single, [-1.0], right=0)
    run = imported(tmp_path, base, other, results)
    outcomes = run.outcomes.query("recipe == 'baseline'")
    assert outcomes["gold"].tolist() == ["B"] * 4
    assert outcomes["rank"].tolist() == [1] * 4
    assert run.summary.cells[0].chance == pytest.approx(1 / 3)
    assert notes(run, "a") == [f"t: 1 of 5 documents left out: no choice is wrong (t/{single})"]


def test_the_definition_says_that_single_choices_are_choices(tmp_path: Path) -> None:
    single = [choosing(each, [-1.0], right=0) for each in range(4)]
    wrong = [changed(each, 0.0, "acc") for each in single]
    with pytest.raises(UserError, match=r"4 of 4 documents left out: no choice is wrong \(t/0, t/1, t/2 and 1 more\)"):
        imported(tmp_path, single, wrong, {"configs": {"t": {"output_type": "multiple_choice"}}})


def test_a_tie_between_right_and_wrong_choices_is_left_out_as_when_evaluated_here(tmp_path: Path) -> None:
    base, other = right_or_wrong(0), right_or_wrong(3)
    for each in (base, other):
        each[2] = choosing(2, [-1.0, -1.0, -2.0], right=0, choices=("A", "A", "B"))
    assert notes(imported(tmp_path, base, other), "a") == [
        "t: 1 of 5 documents left out: right answer is also one of the wrong choices (t/2)"
    ]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, DROPPED, 2.0, "1.0", [1]])
@pytest.mark.parametrize("kind", ["multiple_choice", "generate_until"])
def test_a_document_without_a_usable_metric_is_left_out(tmp_path: Path, kind: str, value: object) -> None:
    if kind == "generate_until":
        base, other, name = (
            [writing(each, "x") for each in range(5)],
            [writing(each, "y") for each in range(5)],
            "exact_match",
        )
    else:
        base, other, name = right_or_wrong(0), right_or_wrong(5), "acc"
    other[3] = changed(other[3], value, name)
    run = imported(tmp_path, base, other)
    assert [(cell.items, cell.right) for cell in run.summary.cells] == [(5, 5), (4, 0)]
    assert notes(run, "b") == [f"t: 1 of 5 documents left out: {name} is missing or not a usable number (t/3)"]
    assert "documents left out" in " ".join(show_text(run.summary).split())


def test_the_metric_that_decides_is_the_same_with_one_bad_document(tmp_path: Path) -> None:
    base, other = ([changed(writing(each, said), 0.5, "f1") for each in range(5)] for said in "xy")
    for each in (*base, *other):
        each["metrics"] = ["exact_match", "f1"]
    base[0] = changed(base[0], None, "exact_match")
    run = imported(tmp_path, base, other)
    assert [cell.right for cell in run.summary.cells] == [4, 0]
    assert notes(run, "a") == ["t: 1 of 5 documents left out: exact_match is missing or not a usable number (t/0)"]


def test_an_answer_that_is_not_a_number_is_wrong_even_without_a_metric(tmp_path: Path) -> None:
    other = right_or_wrong(0)
    other[1] = changed(choosing(1, [math.nan, -1.0, -2.0], right=1), None, "acc")
    cell = imported(tmp_path, right_or_wrong(0), other).summary.cells[1]
    assert (cell.items, cell.right, cell.not_numbers) == (5, 4, 1)


@pytest.mark.parametrize("count", [None, 0, -5, math.nan, 10**400, "18"])
def test_a_text_without_a_usable_count_does_not_change_the_perplexity(tmp_path: Path, count: object) -> None:
    base = [reading(each, -10.0) for each in range(4)]
    base[3] = changed(base[3], [-10.0, count], "word_perplexity", "byte_perplexity", "bits_per_byte")
    run = imported(tmp_path, base, [reading(each, -12.0) for each in range(4)])
    measured = run.summary.measured
    assert [cell.items for cell in measured] == [3, 3]
    assert [cell.metrics["word_perplexity"] for cell in measured] == pytest.approx([math.exp(10 / 4), math.exp(12 / 4)])
    assert measured[0].metrics["bits_per_byte"] == pytest.approx(10 / 18 / math.log(2))
    assert notes(run, "a") == [
        "t: 1 of 4 documents left out: its number of words or bytes is missing or not a usable number (t/3)"
    ]


def test_documents_with_several_whole_texts_are_refused(tmp_path: Path) -> None:
    several = reading(0, -1.0)
    several["arguments"]["gen_args_1"] = several["arguments"]["gen_args_0"]
    several["resps"] *= 2
    with pytest.raises(UserError, match="line 1: it asks for several whole texts, which is not supported"):
        imported(tmp_path, [several], [several | {"target": "x"}])


def test_several_generated_texts_of_a_document_are_judged_by_its_metric(tmp_path: Path) -> None:
    logs = [[writing(each, said) for each in range(3)] for said in "xy"]
    for each in (*logs[0], *logs[1]):
        each["arguments"]["gen_args_1"] = each["arguments"]["gen_args_0"]
        each["resps"] *= 2
    assert [cell.right for cell in imported(tmp_path, *logs).summary.cells] == [3, 0]


def test_results_of_any_kind_of_text_are_read(tmp_path: Path) -> None:
    results = {
        "configs": {"t": {"output_type": []}},
        "config": {"model_args": "pretrained=m\ud83d"},
        "lm_eval_version": "\udfff",
    }
    run = imported(tmp_path, right_or_wrong(0), right_or_wrong(3), results)
    assert [cell.right for cell in run.summary.cells] == [5, 2]


def test_log_likelihoods_beyond_all_sums_have_no_perplexity(tmp_path: Path) -> None:
    run = imported(tmp_path, *([reading(each, value) for each in range(4)] for value in (-1e308, -1.2e308)))
    assert [cell.metrics for cell in run.summary.measured] == [{}, {}]
    assert "inf" not in show_text(run.summary).split()
