"""Metrics of the divergence from the baseline, by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import ComparedAnswer, ComparedText, Task


@pytest.fixture
def task(tmp_path: Path) -> Task:
    path = tmp_path / "made_up.jsonl"
    path.write_text('{"text": "One two."}\n{"words": "a"}\n{"text": "Three."}\n')
    return load_task(f"divergence:file={path}:window=8")


def test_without_a_file_the_text_is_the_one_that_ships() -> None:
    task = load_task("divergence")
    assert (task.description.name, task.description.source) == ("divergence", "divergence_text.jsonl")
    assert len(task.items) == len({item.content_hash for item in task.items}) == task.description.official_size == 55
    words = [len(item.asks.text.split()) for item in task.items]
    assert 7000 < sum(words) < 7500
    assert min(words) > 40
    with pytest.raises(UserError, match=r"text file 'gone.txt' does not exist; write divergence:file=PATH"):
        load_task("divergence:file=gone.txt")


def test_texts_are_items_as_of_perplexity(task: Task) -> None:
    assert [item.asks for item in task.items if item.problem is None] == [
        ComparedText("One two.", 8),
        ComparedText("Three.", 8),
    ]
    same = load_task(task.description.name.replace("divergence", "perplexity"))
    assert [item.content_hash for item in task.items] == [item.content_hash for item in same.items]


def test_metrics_by_hand(task: Task) -> None:
    one = ComparedAnswer((0.5, 0.1, 0.3), (True, False, True), (-2.0, -1.0, -3.0), (-1.0, -1.0, -2.0))
    other = ComparedAnswer((0.0,), (True,), (-1.0,), (-2.0,))
    judgement = task.judge([one, None, other])
    assert judgement.metrics == pytest.approx(
        {
            "divergence": 0.9 / 4,
            "agreement": 3 / 4,
            "ln_perplexity_ratio": (6 + 1 - 4 - 2) / 4,
            "divergence_median": 0.1,
            "divergence_p90": 0.5,
            "divergence_p99": 0.5,
            "divergence_p99_9": 0.5,
            "divergence_max": 0.5,
        }
    )
    first, second = judgement.outcomes
    assert (first.correct, first.loglikelihoods, first.token_values) == (None, (-6.0,), one.divergences)
    assert first.metrics == pytest.approx(
        {"divergence": 0.3, "agreement": 2 / 3, "ln_perplexity_ratio": 2 / 3, "tokens": 3}
    )
    assert second.metrics["ln_perplexity_ratio"] == -1


def test_a_token_that_only_the_variant_rules_out(task: Task) -> None:
    ruled_out = ComparedAnswer((math.inf, 0.1), (True, True), (-1.0, -1.0), (-1.0, -1.0))
    assert ruled_out.is_number
    metrics = task.judge([ruled_out, None, None]).metrics
    assert (metrics["divergence"], metrics["divergence_median"]) == (math.inf, 0.1)


def test_what_is_not_a_number() -> None:
    assert not ComparedAnswer((math.nan,), (True,), (-1.0,), (-1.0,)).is_number
    assert not ComparedAnswer((0.0,), (True,), (-math.inf,), (-1.0,)).is_number
    assert not ComparedAnswer((0.0,), (True,), (-1.0,), (math.nan,)).is_number


def test_nothing_answered_has_no_metrics(task: Task) -> None:
    assert task.judge([None, None, None]).metrics == {}
