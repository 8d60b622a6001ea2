"""LAMA's metrics, against plain counts.

Covers ``probes.lama.task`` and ``probes.cloze``.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetmeter.probes.cloze import rank_candidates
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import Answer, ClozeAnswer, Item, RequestScore, RequestScores, Task, VocabularyAnswer


@pytest.fixture
def task(data: Path) -> Task:
    return load_task("lama/trex", data=data)


def said(*top: str, rank: int = 1, loglikelihood: float = -1.0, best_other: float = -2.0) -> VocabularyAnswer:
    words = (*top, "b", "c", "d", "e", "f")[:5]
    return VocabularyAnswer(words, rank, loglikelihood, best_other)


def test_at_a_mask_the_likeliest_token_counts(task: Task) -> None:
    answers: list[Answer | None] = [None] * len(task.items)
    answers[0] = ClozeAnswer(vocabulary=said("Poseidonia"))
    answers[1] = ClozeAnswer(vocabulary=said("Gotham", rank=4, loglikelihood=-3.0, best_other=-1.5))
    first, second = task.judge(answers).outcomes
    assert (first.item_id, first.correct, first.prediction, first.gold) == (
        "lama/trex/P36/0",
        True,
        "Poseidonia",
        "Poseidonia",
    )
    assert (first.rank, first.margin, first.loglikelihoods) == (1, 1.0, (-1.0,))
    assert first.metrics == {"p_at_1": 1, "p_at_5": 1, "mrr": 1, "paper_p_at_1": 1}
    assert (second.correct, second.rank, second.margin) == (False, 4, -1.5)
    assert second.metrics == {"p_at_1": 0, "p_at_5": 1, "mrr": 0.25, "paper_p_at_1": 0}


def test_the_papers_metric_ignores_case_spaces_and_sentences_asked_before(task: Task) -> None:
    answers = [ClozeAnswer(vocabulary=said(" POSEIDONIA ", rank=2)) for _ in task.items]
    judgement = task.judge(answers)
    assert [outcome.metrics.get("paper_p_at_1") for outcome in judgement.outcomes] == [1, 0, 0, 0, 0, 0, None]
    assert "duplicate" in task.items[-1].fields
    assert judgement.metrics["paper_p_at_1"] == pytest.approx(1 / 6)
    # P20 has no sentence of its own, so two relations count.
    assert judgement.metrics["paper_p_at_1_macro"] == pytest.approx((1 / 3 + 0) / 2)


def test_candidates_take_precedence(task: Task) -> None:
    answers: list[Answer | None] = [None] * len(task.items)
    answers[1] = ClozeAnswer((-3.0, -1.0, -2.0), said("Oz", rank=6))
    (outcome,) = task.judge(answers).outcomes
    assert (outcome.correct, outcome.prediction, outcome.rank, outcome.margin) == (True, "Mildendo", 1, 1.0)
    assert outcome.loglikelihoods == (-3.0, -1.0, -2.0)
    assert outcome.metrics == {
        "p_at_1": 1,
        "p_at_5": 1,
        "mrr": 1,
        "next_token_p_at_1": 0,
        "next_token_p_at_5": 0,
    }


@pytest.mark.parametrize(
    ("candidates", "correct", "prediction", "rank", "margin"),
    [
        ((-1.0, -1.0, -2.0), True, "Poseidonia", 1, 0.0),
        ((-2.0, -1.0, -1.0), False, "Mildendo", 3, -1.0),
        ((math.nan, -1.0, -2.0), False, "", None, None),
        ((-1.0, math.nan, -2.0), False, "", None, None),
        ((math.nan, math.nan, math.nan), False, "", None, None),
        ((-math.inf, -math.inf, -math.inf), False, "", None, None),
        ((-1.0, -math.inf, -2.0), True, "Poseidonia", 1, 1.0),
        ((-math.inf, -1.0, -2.0), False, "Mildendo", 3, None),
    ],
)
def test_ties_and_values_that_are_not_numbers(
    task: Task,
    candidates: tuple[float, ...],
    correct: bool,
    prediction: str,
    rank: int | None,
    margin: float | None,
) -> None:
    answers: list[Answer | None] = [ClozeAnswer(candidates), *[None] * (len(task.items) - 1)]
    (outcome,) = task.judge(answers).outcomes
    assert (outcome.correct, outcome.prediction, outcome.rank, outcome.margin) == (correct, prediction, rank, margin)
    assert outcome.metrics["mrr"] == (1 / rank if rank else 0)


def test_a_tie_for_the_first_place_is_lost_by_the_later_one(task: Task) -> None:
    answers: list[Answer | None] = [None, ClozeAnswer((-1.0, -1.0, -2.0)), *[None] * (len(task.items) - 2)]
    (outcome,) = task.judge(answers).outcomes
    assert (outcome.correct, outcome.prediction, outcome.rank) == (False, "Poseidonia", 2)


def test_a_token_whose_likelihood_is_no_number_is_wrong(task: Task) -> None:
    answer = ClozeAnswer(vocabulary=said("Poseidonia", loglikelihood=math.nan))
    (outcome,) = task.judge([answer, *[None] * (len(task.items) - 1)]).outcomes
    assert (outcome.correct, outcome.rank, outcome.metrics["p_at_5"]) == (False, None, 0)
    assert outcome.metrics["paper_p_at_1"] == 0


def test_no_answers(task: Task) -> None:
    judgement = task.judge([None] * len(task.items))
    assert (judgement.outcomes, judgement.metrics) == ((), {})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (RequestScores([RequestScore(-1.0, True)]), TypeError),
        (ClozeAnswer((-1.0,)), ValueError),
        (ClozeAnswer(), ValueError),
    ],
)
def test_answers_of_another_kind_are_a_bug(task: Task, answer: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        task.judge([answer, *[None] * (len(task.items) - 1)])


def test_candidates_are_required_if_asked_for(data: Path) -> None:
    task = load_task("lama/trex:multi_token=true", data=data)
    with pytest.raises(ValueError, match="3 choices, but 0 were scored"):
        task.judge([ClozeAnswer(vocabulary=said("x")), *[None] * (len(task.items) - 1)])


@pytest.mark.parametrize("seed", range(5))
def test_totals_are_those_of_a_plain_count(task: Task, seed: int) -> None:
    draw = random.Random(seed)

    def answer(item: Item) -> ClozeAnswer | None:
        if draw.random() < 0.2:
            return None
        values = tuple(draw.choice([-1.0, -2.0, -3.0, -4.0]) for _ in item.choices)
        return ClozeAnswer(values)

    answers = [answer(item) for item in task.items]
    judgement = task.judge(answers)
    right: dict[str, list[float]] = {}
    reciprocal: dict[str, list[float]] = {}
    for item, said_of_it in zip(task.items, answers, strict=True):
        if said_of_it is not None:
            # A stable sort from the likeliest on; the first of equals is the prediction.
            order = sorted(range(len(item.choices)), key=lambda place: -said_of_it.candidates[place])
            right.setdefault(item.fields["relation"], []).append(order[0] == item.gold[0])
            reciprocal.setdefault(item.fields["relation"], []).append(1 / (1 + order.index(item.gold[0])))
    assert judgement.metrics["p_at_1"] == pytest.approx(mean(each for one in right.values() for each in one))
    assert judgement.metrics["p_at_1_macro"] == pytest.approx(mean(mean(one) for one in right.values()))
    assert judgement.metrics["mrr"] == pytest.approx(mean(each for one in reciprocal.values() for each in one))
    assert judgement.metrics["mrr_macro"] == pytest.approx(mean(mean(one) for one in reciprocal.values()))
    assert [outcome.correct for outcome in judgement.outcomes] == [each for one in right.values() for each in one]


@given(st.lists(st.sampled_from([-3.0, -2.0, -1.0, -math.inf]), min_size=1, max_size=8))
def test_ranks_follow_one_order_and_the_first_is_the_prediction(values: list[float]) -> None:
    choices = [str(place) for place in range(len(values))]
    ranked = [rank_candidates(values, (gold,), choices) for gold in range(len(values))]
    if not any(map(math.isfinite, values)):
        assert {(one.correct, one.prediction, one.rank) for one in ranked} == {(False, "", None)}
        return
    assert sorted(one.rank or 0 for one in ranked) == list(range(1, len(values) + 1))
    for gold, one in enumerate(ranked):
        assert one.correct == (one.rank == 1) == (one.prediction == choices[gold])
