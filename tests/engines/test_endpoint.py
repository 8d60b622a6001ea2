"""Endpoints that speak the completions protocol.

Covers ``engines.answer_problems`` and ``engines.endpoint``.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from engines.comparisons import FACTS, MODEL, assert_answers_agree, compared, endpoint
from engines.completions_server import Behaviour, serving

from forgetmeter.errors import UserError


@pytest.mark.parametrize("more", [{}, {"num_concurrent": 4}, {"batch_size": 8}])
def test_a_server_gives_the_same_answers(more: dict[str, Any], questions: str, tmp_path: Path) -> None:
    tasks = [FACTS, questions]
    with serving(MODEL) as url:
        results = compared(endpoint(url, **more), tasks, tmp_path / "run")
    assert_answers_agree(results, tasks)
    (row,) = results.comparisons.query(f"task == '{FACTS}' and recipe != 'baseline'").to_dict("records")
    assert (row["drop"], row["forgotten"]) == (0.0, 0)


@pytest.mark.parametrize("shift", [1, -1])
def test_shifted_log_probabilities_are_noticed_before_any_work(shift: int, questions: str, tmp_path: Path) -> None:
    with serving(MODEL, Behaviour(shift=shift)) as url, pytest.raises(UserError, match="belong to other tokens"):
        compared(endpoint(url), [questions], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_endpoint_without_log_probabilities_is_refused(questions: str, tmp_path: Path) -> None:
    with serving(MODEL, Behaviour(has_logprobs=False)) as url, pytest.raises(UserError) as refused:
        compared(endpoint(url), [questions], tmp_path / "run")
    says = "engine lm_eval/local-completions does not give log-likelihoods: it gives no log-probabilities"
    assert str(refused.value) == says
    assert not (tmp_path / "run").exists()


@pytest.fixture
def long_questions(tmp_path: Path) -> str:
    prompt = "The capital of France is " * 20
    question = f'{{"prompt": "{prompt}", "choices": ["Paris", "Rome", "Oslo"], "answer": 0}}'
    (tmp_path / "long.jsonl").write_text(question + "\n" + question.replace("France", "Italy") + "\n")
    return f"file:{tmp_path / 'long.jsonl'}"


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        # lm-eval takes the log-probabilities of other tokens then, or sums up none.
        (Behaviour(most=60), "it returned 61 log-probabilities for 9.*truncates texts"),
        (Behaviour(window=60), "do not depend on how it begins"),
        (Behaviour(shift=1, shift_after=60), "belong to other tokens"),
        (Behaviour(shift=-1, shift_after=60), "belong to other tokens"),
    ],
)
def test_faults_of_long_texts_are_noticed_before_any_work(
    behaviour: Behaviour, says: str, questions: str, long_questions: str, tmp_path: Path
) -> None:
    with serving(MODEL, behaviour) as url:
        with pytest.raises(UserError, match=says):
            compared(endpoint(url), [long_questions], tmp_path / "run")
        # There are none in short ones.
        assert_answers_agree(compared(endpoint(url), [questions], tmp_path / "run"), [questions])


def test_nobody_there(questions: str, tmp_path: Path) -> None:
    with serving(MODEL) as url:
        pass
    with pytest.raises(UserError, match="does not give log-likelihoods: it cannot be reached"):
        compared(endpoint(url), [questions], tmp_path / "run")


@pytest.mark.slow
def test_a_server_that_dies_fails_the_cell_and_the_next_run_asks_it_again(questions: str, tmp_path: Path) -> None:
    """What was answered before stays; what was not is asked again."""
    tasks, behaviour = [questions, FACTS], Behaviour(answers=30)
    with serving(MODEL, behaviour) as url:
        results = compared(endpoint(url), tasks, tmp_path / "run")
        (failure,) = results.failures.to_dict("records")
        assert failure["task"] == FACTS
        assert "503" in failure["error"]
        behaviour.answers = None
        assert_answers_agree(compared(endpoint(url), tasks, tmp_path / "run"), tasks)


@pytest.mark.parametrize("num_concurrent", [1, 4])
def test_a_failure_is_said_in_words_and_nothing_else_is_written(
    num_concurrent: int,
    questions: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    behaviour = Behaviour(answers=30)
    with serving(MODEL, behaviour) as url:
        results = compared(endpoint(url, num_concurrent=num_concurrent), [questions, FACTS], tmp_path / "run")
    (failure,) = results.failures.to_dict("records")
    assert failure["error"].startswith("EngineAnswerError: it answered with HTTP status 503: ")
    gc.collect()
    assert (capfd.readouterr().err, caplog.messages) == ("", [])


@pytest.mark.parametrize("num_concurrent", [1, 4])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "its answer is not JSON"),
        (b"{}", "it answered {}, which is not a list of completions"),
        (b'{"error": "no"}', "it answered {'error': 'no'}, which is not a list of completions"),
        (b'{"choices": []}', "it gave 0 completions with the indices"),
        (b'{"choices": [{"index": 0}]}', "it gives no log-probabilities"),
        (b'{"choices": [{"index": 0, "logprobs": {"token_logprobs": [null, -1]}}]}', "it returned 2 log-probabilities"),
    ],
)
def test_nonsense_is_said_in_words(body: bytes, says: str, num_concurrent: int, questions: str, tmp_path: Path) -> None:
    with serving(MODEL, Behaviour(body=body)) as url, pytest.raises(UserError) as refused:
        compared(endpoint(url, num_concurrent=num_concurrent), [questions], tmp_path / "run")
    assert f"does not give log-likelihoods: {says}" in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_an_endpoint_with_another_tokenizer_is_refused(questions: str, tmp_path: Path) -> None:
    with serving(MODEL, Behaviour(renumbered=7)) as url, pytest.raises(UserError) as refused:
        compared(endpoint(url), [questions], tmp_path / "run")
    assert "in the tokenizer that encoded the texts; name the endpoint's own tokenizer with tokenizer=…" in str(
        refused.value
    )
