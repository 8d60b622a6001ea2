"""Documents of logs that cannot be judged are left out and named, and change nothing else.

Covers ``importing.lm_eval.left_out_documents``, ``importing.lm_eval.asked_items``, ``importing.lm_eval.contradictions``
and ``importing.lm_eval.judged_task``.
"""

from __future__ import annotations

import math
import re
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


def right_or_wrong(wrong: int, of: int = 5) -> list[Sampled]:
    """Return documents, of which the first few are answered wrong; ``B`` is always right."""
    return [choosing(each, [-1.0, -2.0, -3.0] if each < wrong else [-2.0, -1.0, -3.0], right=1) for each in range(of)]


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


def with_two_metrics(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**line, "metrics": ["acc", "acc_norm"], "acc_norm": line["acc"]} for line in lines]


@pytest.mark.parametrize(
    ("value", "changes", "says"),
    [
        (
            None,
            10,
            "'b' has no value for acc in 10 of its 20 documents (t/0, t/1, t/2 and 7 more); choose another metric",
        ),
        (DROPPED, 20, "'b' has no value for acc in 20 of its 20 documents"),
        ("1.0", 5, "'b' has an invalid value, such as '1.0', for acc in 5 of its 20 documents"),
        (100.0, 3, "'b' has an invalid value, such as 100.0, for acc in 3 of its 20 documents (t/0, t/1, t/2)"),
    ],
)
@pytest.mark.parametrize("metric", ["acc", None])
def test_a_candidate_without_the_metric_is_refused_and_does_not_change_it(
    tmp_path: Path, value: object, changes: int, says: str, metric: str | None
) -> None:
    base, other = (with_two_metrics(right_or_wrong(wrong, of=20)) for wrong in (0, 8))
    other[:changes] = [changed(line, value, "acc") for line in other[:changes]]
    with pytest.raises(UserError, match=re.escape(f"task 't': {says}")):
        imported(tmp_path, base, other, metric=metric)
    # Fewer are left out, counted and named.
    few = with_two_metrics(right_or_wrong(8, of=20))
    few[19] = changed(few[19], value, "acc")
    assert [cell.right for cell in imported(tmp_path / "few", base, few, metric=metric).summary.cells] == [20, 12 - 1]
    # By the other metric, the documents are judged.
    cells = imported(tmp_path / "normed", base, other, metric="acc_norm").summary.cells
    assert [cell.right for cell in cells] == [20, 12]


def test_another_metric_that_decides_for_lack_of_the_first_is_named(tmp_path: Path) -> None:
    base, other = (with_two_metrics(right_or_wrong(0)) for _ in range(2))
    base[:4] = [changed(line, None, "acc") for line in base[:4]]
    run = imported(tmp_path, base, other)
    assert notes(run, "a")[0] == "t: judged by acc_norm, since few documents of the baseline have a usable value of acc"


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


def test_a_text_counted_in_another_way_than_the_baselines_is_left_out(tmp_path: Path) -> None:
    base, other = ([reading(each, value) for each in range(4)] for value in (-10.0, -12.0))
    other[2]["word_perplexity"] = [-12.0, 400]
    run = imported(tmp_path, base, other)
    assert [cell.items for cell in run.summary.measured] == [4, 3]
    assert run.summary.measured[1].metrics["word_perplexity"] == pytest.approx(math.exp(12 / 4))
    said = "t: 1 of 4 documents left out: its number of words or bytes differs from the baseline's (t/2)"
    assert notes(run, "b") == [said]


def test_a_candidate_without_a_usable_answer_is_refused(tmp_path: Path) -> None:
    other = [choosing(each, [1.0, 2.0, 3.0], right=1) for each in range(5)]
    with pytest.raises(UserError, match=r"no answer of 'b' can be imported \(t: 5 of 5 documents left out: a log-lik"):
        imported(tmp_path, right_or_wrong(0), other)


def test_documents_with_several_whole_texts_are_refused(tmp_path: Path) -> None:
    several = reading(0, -1.0)
    several["arguments"]["gen_args_1"] = several["arguments"]["gen_args_0"]
    several["resps"] *= 2
    with pytest.raises(UserError, match="line 1: it scores several whole texts, which is not supported"):
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


@pytest.mark.parametrize("odd", ["a", "b"])
@pytest.mark.parametrize("name", ["exact_match", "pass@1"])
def test_one_document_with_half_a_point_does_not_make_a_task_measured(tmp_path: Path, name: str, odd: str) -> None:
    logs = {model: [writing(each, said) for each in range(5)] for model, said in (("a", "x"), ("b", "y"))}
    for samples in logs.values():
        for each in samples:
            each.update({"metrics": [name], name: each["exact_match"]})
    logs[odd][3][name] = 0.5
    run = imported(tmp_path, logs["a"], logs["b"])
    assert [(cell.items, cell.right) for cell in run.summary.cells] == (
        [(4, 4), (4, 0)] if odd == "a" else [(5, 5), (4, 0)]
    )
    assert notes(run, odd) == [f"t: 1 of 5 documents left out: {name} is neither 0 nor 1 (t/3)"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("f1", [1, 0, 0, 0.5, 0.4, 1, 1, 0]),
        ("acc", [1, 0, 0.2, 0.5, 0.4, 0.3]),
        ("exact_match", [1, 0, 0, 1, 1, 0.5, 0.25]),
    ],
)
def test_metrics_between_0_and_1_are_measured(tmp_path: Path, name: str, values: list[float]) -> None:
    base = [writing(each, "x") | {"metrics": [name], name: value} for each, value in enumerate(values)]
    run = imported(tmp_path, base, [each | {name: 0.0} for each in base])
    assert [cell.metrics[name] for cell in run.summary.measured] == [pytest.approx(sum(values) / len(values)), 0.0]
    assert notes(run, "a") == []


def many(wrong: int) -> list[Sampled]:
    """Return twenty documents, of which the first few are answered wrong; ``B`` is always right."""
    values = [[-1.0, -2.0, -3.0] if each < wrong else [-2.0, -1.0, -3.0] for each in range(20)]
    return [choosing(each, value, right=1) for each, value in enumerate(values)]


@pytest.mark.parametrize("variant", ["a", "b"])
@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_a_metric_that_contradicts_the_log_likelihoods_is_noticed(tmp_path: Path, metric: str, variant: str) -> None:
    logs = {"a": many(2), "b": many(6)}
    for samples in logs.values():
        for each in samples:
            each.update({"metrics": [metric], metric: each["acc"]})
    for place in (0, 19):
        logs[variant][place][metric] = 1.0 - logs[variant][place][metric]
    run = imported(tmp_path, logs["a"], logs["b"])
    assert (
        [(cell.items, cell.right) for cell in run.summary.cells] == [(18, 17), (18, 13)]
        if variant == "a"
        else [(20, 18), (18, 13)]
    )
    assert notes(run, variant) == [
        f"t: 2 of 20 documents left out: {metric} contradicts the log-likelihoods (t/0, t/19)"
    ]
    # What is right is still read from the targets.
    assert set(run.outcomes["gold"]) == {"B"}


def test_a_metric_computed_in_its_own_way_counts_without_ranks(tmp_path: Path) -> None:
    base, other = many(2), many(6)
    for each in (*base[:4], *other[8:12]):
        each["acc"] = 1.0 - each["acc"]
    run = imported(tmp_path, base, other)
    assert [(cell.items, cell.right) for cell in run.summary.cells] == [(20, 18), (20, 10)]
    assert run.outcomes[["rank", "margin"]].isna().all(axis=None)
    assert run.summary.cells[1].prediction_flips is None
    assert run.summary.cells[0].chance == pytest.approx(1 / 3)
    for variant, documents in (("a", "t/0, t/1, t/2 and 1 more"), ("b", "t/8, t/9, t/10 and 1 more")):
        assert notes(run, variant) == [
            f"t: acc does not follow from the log-likelihoods in 4 of 20 documents ({documents}); correct is "
            "as logged, and predictions, ranks and margins of all variants are unknown"
        ]


def test_a_contradiction_is_said_of_the_variant_that_has_it(tmp_path: Path) -> None:
    base, other = many(2), many(6)
    for each in other[8:12]:
        each["acc"] = 1.0 - each["acc"]
    run = imported(tmp_path, base, other)
    assert notes(run, "a") == []
    assert len(notes(run, "b")) == 1


LOWER = {"higher_is_better": {"t": {"error": False, "acc": True}}}


def test_metrics_that_are_better_if_lower_do_not_say_what_is_right(tmp_path: Path) -> None:
    logs = [many(2), many(6)]
    for each in (*logs[0], *logs[1]):
        each.update(metrics=["error"], error=1.0 - each.pop("acc"))
    run = imported(tmp_path, *logs, LOWER)
    assert run.summary.cells == ()
    assert [cell.metrics["error"] for cell in run.summary.measured] == [pytest.approx(0.1), pytest.approx(0.3)]
    with pytest.raises(UserError, match="--metric error: t declares that lower is better"):
        imported(tmp_path / "chosen", *logs, LOWER, metric="error")


def test_a_metric_that_says_what_is_right_is_found_after_one_that_is_better_if_lower(tmp_path: Path) -> None:
    logs = [[writing(each, "x" if each >= wrong else "y") for each in range(20)] for wrong in (2, 6)]
    for each in (*logs[0], *logs[1]):
        each.update(metrics=["error", "own"], error=1.0 - each["exact_match"], own=each.pop("exact_match"))
    run = imported(tmp_path, *logs, LOWER)
    assert [(cell.items, cell.right) for cell in run.summary.cells] == [(20, 18), (20, 14)]


@pytest.mark.parametrize(("place", "acc"), [(0, 1.0), (1, 0.0)])
def test_either_of_two_equally_likely_choices_may_be_the_answer(tmp_path: Path, place: int, acc: float) -> None:
    base = many(0)
    base[3] = choosing(3, [-1.0, -1.0, -2.0], right=place) | {"acc": acc}
    run = imported(tmp_path, base, [*many(6)[:3], choosing(3, [-1.0, -5.0, -6.0], right=place), *many(6)[4:]])
    assert run.summary.cells[1].items == 20
    assert notes(run, "a") == []


def test_a_length_in_doubt_contradicts_nothing(tmp_path: Path) -> None:
    """The second choice is the likelier one by letter, unless the space before it is one of its letters."""
    logs = [[choosing(each, [one, -3.5], right=0, choices=["B", "AB"]) for each in range(5)] for one in (-2.0, -2.1)]
    for each in (*logs[0], *logs[1]):
        each.update(metrics=["acc_norm"], acc_norm=each["doc_id"] % 2)
    assert [(cell.items, cell.right) for cell in imported(tmp_path, *logs).summary.cells] == [(5, 2), (5, 2)]


def completing(number: int, *, is_greedy: bool) -> Sampled:
    """Return a document with a single completion."""
    score = ["-1.0", str(is_greedy)]
    more = {"resps": [[score]], "filtered_resps": [score], "metrics": ["acc"], "acc": int(is_greedy)}
    return choosing(number, [-1.0], right=0) | more


def test_the_accuracy_of_a_completion_that_contradicts_its_answer_is_noticed(tmp_path: Path) -> None:
    base, other = ([completing(each, is_greedy=each > wrong) for each in range(5)] for wrong in (-1, 1))
    other[4]["acc"] = 0
    run = imported(tmp_path, base, other)
    assert [(cell.items, cell.right) for cell in run.summary.cells] == [(5, 5), (4, 2)]
    assert notes(run, "b") == ["t: 1 of 5 documents left out: acc contradicts the log-likelihoods (t/4)"]


@pytest.mark.parametrize("target", ["7", "-1", "nothing", "[]"])
def test_a_document_whose_target_is_no_choice_is_left_out(tmp_path: Path, target: str) -> None:
    base, other = right_or_wrong(0), right_or_wrong(3)
    for each in (base, other):
        each[2].update(target=target, acc=0.0)
    run = imported(tmp_path, base, other)
    assert [(cell.items, cell.right) for cell in run.summary.cells] == [(4, 4), (4, 2)]
    assert notes(run, "a") == ["t: 1 of 5 documents left out: right answer not among the choices (t/2)"]
    assert set(run.outcomes["gold"]) == {"B"}


@pytest.mark.parametrize("kind", ["multiple_choice", "loglikelihood_rolling"])
def test_a_log_likelihood_above_0_is_none(tmp_path: Path, kind: str) -> None:
    if kind == "loglikelihood_rolling":
        base, other = ([reading(each, value) for each in range(5)] for value in (-10.0, -12.0))
        other[1] = reading(1, 3.0)
    else:
        base, other = right_or_wrong(0), right_or_wrong(3)
        other[1] = choosing(1, [-1.0, 2.0, -3.0], right=1)
        # Only rounded.
        other[2] = choosing(2, [1e-6, -2.0, -3.0], right=1)
    summary = imported(tmp_path, base, other).summary
    assert [cell.items for cell in (*summary.cells, *summary.measured)] == [5, 4]
    assert "b: t: 1 of 5 documents left out: a log-likelihood is above 0 (t/1)" in " ".join(show_text(summary).split())


@pytest.mark.parametrize("prefix", [" ", ""])
def test_choices_without_the_question_are_not_further_choices(tmp_path: Path, prefix: str) -> None:
    """Earlier versions of lm-eval write them without the delimiter."""
    logs = [right_or_wrong(0), right_or_wrong(3)]
    for each in (*logs[0], *logs[1]):
        for place, letter in enumerate("ABC"):
            each["arguments"][f"gen_args_{3 + place}"] = {"arg_0": "", "arg_1": f"{prefix}{letter}"}
        each["resps"] += [[["-0.5", "False"]]] * 3
        each["filtered_resps"] = [one[0] for one in each["resps"]]
        each.update(metrics=["acc", "acc_mutual_info"], acc_mutual_info=each["acc"])
    run = imported(tmp_path, *logs)
    assert run.summary.cells[0].chance == pytest.approx(1 / 3)
    assert [cell.right for cell in run.summary.cells] == [5, 2]
