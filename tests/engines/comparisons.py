"""Studies of the shipped decoder beside an engine that answers with the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forgetmeter.results.results import Results, open_run
from forgetmeter.study.running import run

MODEL = "standard:decoder"
FACTS = "facts:relations=country_capital+element_symbol:templates=0"


def compared(candidate: Any, tasks: list[str], out: Path, *, limit: int | None = 12) -> Results:
    study = {"models": [MODEL], "candidates": [candidate], "tasks": tasks, "output": str(out)}
    run({**study, "evaluation.limit": limit})
    return open_run(out)


def endpoint(url: str, **more: Any) -> dict[str, Any]:
    return {"engine": "lm_eval/local-completions", "base_url": url, "model": "served", "max_retries": 1, **more}


def assert_answers_agree(results: Results, tasks: list[str]) -> None:
    """Check that the candidate gave the answers of the baseline, which this package's own engine computed."""
    assert not len(results.failures)
    outcomes = results.outcomes
    for task in tasks:
        one, other = (group for _, group in outcomes[outcomes["task"] == task].groupby("recipe"))
        pairs = one.merge(other, on="item_id", how="outer", suffixes=("", "_other"))
        assert len(pairs) > 2
        for row in pairs.itertuples():
            assert tuple(row.loglikelihoods) == pytest.approx(tuple(row.loglikelihoods_other), abs=1e-4)
            assert (row.prediction, row.correct) == (row.prediction_other, row.correct_other)
