from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lm_eval.tasks import TaskManager

from forgetmeter.errors import UserError
from forgetmeter.probes import lm_eval_index, lm_eval_task
from forgetmeter.probes.table import load_task, task_problems
from forgetmeter.records.item import RequestScore

DOCUMENTS = [
    {"q": "Is ice cold?", "choices": ["no", "yes"], "label": 1},
    {"q": "Is fire cold?", "choices": ["no", "yes, it is"], "label": 0},
    {"q": "Is tea wet?", "choices": ["maybe", "yes"], "label": 1},
]
"""Made up, as are the definitions below; real tasks are in the tests marked `data`."""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "questions.json").write_text("\n".join(json.dumps(document) for document in DOCUMENTS))
    definitions = {
        "choosing": "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true},"
        " {metric: acc_norm, aggregation: mean, higher_is_better: true}]\n",
        "completing": "output_type: loglikelihood\ndoc_to_target: ' {{choices[label]}}'\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true},"
        " {metric: perplexity, aggregation: perplexity, higher_is_better: false}]\n",
        "writing": "output_type: generate_until\ndoc_to_target: ' {{choices[label]}}'\n"
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n",
        "dataless": "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n",
    }
    files = {}
    for name, definition in definitions.items():
        data = tmp_path / ("questions.json" if name != "dataless" else "none.json")
        files[name] = tmp_path / f"{name}.yaml"
        files[name].write_text(
            f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\n"
            f"doc_to_text: 'Q: {{{{q}}}} A:'\nmetadata: {{version: 3}}\n{definition}"
        )
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for module in (lm_eval_index, lm_eval_task):
        monkeypatch.setattr(module, "task_files", lambda: files)
    monkeypatch.setattr("forgetmeter.probes.table.task_files", lambda: files)
    return tmp_path


def scored(*answers: tuple[float, ...]) -> list[list[RequestScore]]:
    return [[RequestScore(value, value > -1) for value in answer] for answer in answers]


def test_items_keep_prompts_choices_and_gold(made_up: Path) -> None:
    task = load_task("choosing")
    assert [item.id for item in task.items] == ["choosing/0", "choosing/1", "choosing/2"]
    first = task.items[0]
    assert [(r.context, r.continuation) for r in first.requests] == [
        ("Q: Is ice cold? A:", " no"),
        ("Q: Is ice cold? A:", " yes"),
    ]
    assert (first.choices, first.gold) == (("no", "yes"), (1,))
    assert (task.description.version, task.description.official_size) == ("3", 3)
    assert len({item.content_hash for item in task.items}) == 3


def test_a_limit_takes_the_first_and_their_hashes_stay(made_up: Path) -> None:
    whole, part = load_task("choosing"), load_task("choosing", limit=2)
    assert [i.content_hash for i in part.items] == [i.content_hash for i in whole.items][:2]
    assert part.description.official_size == 3


def test_judging_gives_lm_evals_metrics_and_what_the_ledger_needs(made_up: Path) -> None:
    judgement = load_task("choosing").judge(scored((-2.0, -1.5), (-4.0, -5.0), (-3.0, -3.5)))
    first, second, third = judgement.outcomes
    assert (first.correct, first.prediction, first.gold, first.rank, first.margin) == (
        True,
        "yes",
        "yes",
        1,
        0.5,
    )
    assert (second.correct, second.prediction, second.margin) == (True, "no", 1.0)
    assert (third.correct, third.prediction, third.rank, third.margin) == (False, "maybe", 2, -0.5)
    assert first.loglikelihoods == (-2.0, -1.5)
    # By length, "yes, it is" (-0.5 a character) beats "no" (-2), and "yes" loses to "maybe" (-0.6 against -1.17).
    assert [o.metrics["acc_norm"] for o in judgement.outcomes] == [1.0, 0.0, 0.0]
    assert judgement.metrics == pytest.approx({"acc": 2 / 3, "acc_norm": 1 / 3})


def test_completions_are_right_when_they_are_greedy(made_up: Path) -> None:
    judgement = load_task("completing").judge(scored((-0.5,), (-2.0,), (-3.0,)))
    assert [outcome.correct for outcome in judgement.outcomes] == [True, False, False]
    assert judgement.metrics["acc"] == pytest.approx(1 / 3)
    assert judgement.metrics["perplexity"] == pytest.approx(2.71828 ** (5.5 / 3), rel=1e-4)


def test_tasks_that_are_written_out_are_refused(made_up: Path) -> None:
    with pytest.raises(UserError, match="scored by generate_until"):
        load_task("writing")


def test_missing_data_says_what_to_do(made_up: Path) -> None:
    with pytest.raises(UserError, match="set HF_DATASETS_CACHE to a folder"):
        load_task("dataless")


def test_names_are_checked_without_data() -> None:
    assert task_problems("piqa") == []
    assert "did you mean 'winogrande'?" in task_problems("winograde")[0]
    assert "is a group of lm-eval's tasks" in task_problems("mmlu")[0]
    with pytest.raises(UserError, match="unknown task"):
        load_task("no such task")


@pytest.mark.data
@pytest.mark.parametrize(("name", "size"), [("boolq", 3270), ("piqa", 1838), ("winogrande", 1267)])
def test_real_tasks_give_the_requests_of_lm_eval(name: str, size: int) -> None:
    ours = load_task(name, limit=20)
    assert ours.description.official_size == size
    with lm_eval_task._quiet():
        theirs = TaskManager(include_defaults=False).load([str(lm_eval_index.task_files()[name])])["tasks"][name]
        theirs.build_all_requests(limit=20)
    expected = [instance.args for instance in theirs.instances]
    assert [(r.context, r.continuation) for item in ours.items for r in item.requests] == expected
