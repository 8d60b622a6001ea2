"""The probe in docs/extending.md works as printed.

Covers ``probes.registry`` and ``study.evaluation``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from made_up_task import plug_in
from tiny_models import make_bart, make_bart_tokenizer, make_bert, make_llama, make_tokenizer, make_wordpiece_tokenizer

from forgetmeter.models.loading import wrap
from forgetmeter.probes.facts import task
from forgetmeter.probes.registry import TASKS
from forgetmeter.study.evaluation import evaluate

TEXT = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```python\n(# my_package/capitals\.py\n.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)

    plug_in(monkeypatch, {"capitals": names["Capitals"]})


@pytest.mark.parametrize("family", ["encoder", "encoder-decoder", "decoder"])
def test_the_example_works_for_every_family_as_printed(family: str) -> None:
    words = make_wordpiece_tokenizer()
    models = {
        "encoder": lambda: (make_bert(len(words)), words),
        "encoder-decoder": lambda: (make_bart(), make_bart_tokenizer()),
        "decoder": lambda: (make_llama(), make_tokenizer()),
    }
    loaded = wrap(*models[family]())
    assert loaded.family == family
    judgement = evaluate(loaded, ["capitals"], limit=2)["capitals"]
    assert [outcome.item_id for outcome in judgement.outcomes] == ["capitals/0", "capitals/1"]
    for outcome in judgement.outcomes:
        assert len(outcome.loglikelihoods) == 3
        best = ("Paris", "Rome", "Tokyo")[outcome.loglikelihoods.index(max(outcome.loglikelihoods))]
        assert outcome.prediction == best
        assert outcome.correct == (best == outcome.gold)
    right = sum(outcome.correct for outcome in judgement.outcomes)
    assert judgement.metrics == {"accuracy": right / 2, "accuracy_macro": right / 2}
    assert repr(judgement) == f"<Judgement of 2 items: accuracy={right / 2:g}, accuracy_macro={right / 2:g}>"


def test_the_printed_declaration_is_that_of_the_built_in_facts() -> None:
    (block,) = re.findall(r"```python\n# probes/facts/task\.py\n(.*?)```", TEXT, re.DOTALL)
    assert block in Path(task.__file__).read_text(encoding="utf-8")
    assert TASKS.built_in["facts"] == f"{task.__name__}:TASK"
