"""The question that is shown is never cut, whatever blank lines it contains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from importing.lm_eval.made_up_logs import choosing, imported

from forgetmeter.importing.lm_eval.shown_question import Examples, ShownQuestion

RESULTS: dict[str, Any] = {"n-shot": {"t": 1}, "configs": {"t": {"description": "Answer.\n\n"}}}


@pytest.mark.parametrize(
    ("contexts", "shown"),
    [
        # One example each, without blank lines: the question is what follows.
        (["Answer.\n\nE1 A\n\nQ1", "Answer.\n\nE2 B\n\nQ2"], ["Q1", "Q2"]),
        # The example is the same everywhere.
        (["Answer.\n\nE\n\nP1\n\nQ?", "Answer.\n\nE\n\nP2\n\nQ?"], ["P1\n\nQ?", "P2\n\nQ?"]),
        # It is unknown where the examples end.
        (["E1\n\nP1\n\nQ1", "E2\n\nP2\n\nQ2"], ["E1\n\nP1\n\nQ1", "E2\n\nP2\n\nQ2"]),
        (["E\n\nP\n\nQ"], ["E\n\nP\n\nQ"]),
    ],
)
def test_examples_are_left_out_where_they_surely_end(contexts: list[str], shown: list[str]) -> None:
    question = ShownQuestion(Examples(1, "\n\n", "Answer.\n\n"), contexts)
    assert [question(each) for each in contexts] == shown


@pytest.mark.parametrize("examples", [Examples(), Examples(0), Examples(1, "")])
def test_without_examples_everything_is_shown(examples: Examples) -> None:
    assert ShownQuestion(examples, ["A\n\nB", "A\n\nC"])("A\n\nB") == "A\n\nB"


@pytest.mark.parametrize(
    ("results", "begins"),
    [
        (RESULTS, "P0 Q?"),
        # In a conversation, the last blank line is the end of the prompt.
        (RESULTS | {"chat_template_sha": "ab"}, "Answer. E"),
    ],
)
def test_a_passage_with_blank_lines_is_shown_whole(tmp_path: Path, results: dict[str, Any], begins: str) -> None:
    end = "" if results is RESULTS else "\n\n"
    logs = (
        [choosing(n, values, right=0, context=f"Answer.\n\nE\n\nP{n}\n\nQ?{end}") for n in range(3)]
        for values in ([-1.0, -2.0], [-2.0, -1.0])
    )
    run = imported(tmp_path, *logs, results)
    entry = run.ledgers("answers:b")[0].entries[0]
    assert " ".join(entry.statement.split()).startswith(begins)
