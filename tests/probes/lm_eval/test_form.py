"""Most documents decide the form of a task, so one of another form is left out wherever it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval import task as lm_eval_task
from forgetmeter.probes.lm_eval.documents import NUMBER_ASKED, OTHER_FORM
from forgetmeter.probes.lm_eval.prompting import MISSING, NO_ANSWER
from forgetmeter.records.item import Requests

CHOOSING = "output_type: multiple_choice\ndoc_to_choice: c\n"
WRITING = "output_type: generate_until\ngeneration_kwargs: {until: ['.'], max_gen_toks: 4}\n"
PROMPT = "doc_to_text: '{{q}}'\n"


def task_of(folder: Path, documents: list[dict[str, Any]], definition: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(folder / "cache"))
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, documents)))
    metric = "acc" if definition.startswith(CHOOSING) else "exact_match"
    (folder / "own.yaml").write_text(
        f"task: own\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder / 'data.jsonl'}}}}}\n"
        "test_split: test\n"
        f"metric_list: [{{metric: {metric}, aggregation: mean, higher_is_better: true}}]\n{definition}"
    )
    monkeypatch.setattr(lm_eval_task, "task_files", lambda: {"own": folder / "own.yaml"})
    return lm_eval_task.LmEvalTask("own")


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize(
    ("definition", "bad", "says"),
    [
        (CHOOSING + PROMPT + "doc_to_target: one\n", {"one": [1]}, OTHER_FORM),
        (CHOOSING + PROMPT + "doc_to_target: '{{one}}'\n", {"one": [1, 0]}, OTHER_FORM),
        (CHOOSING + PROMPT + "doc_to_target: two\n", {"two": 1}, OTHER_FORM),
        (CHOOSING + PROMPT + "doc_to_target: two\n", {"two": None}, NO_ANSWER),
        (CHOOSING + PROMPT + "doc_to_target: one\n", {"q": "3"}, NUMBER_ASKED),
        (CHOOSING + "doc_to_text: q\ndoc_to_target: one\n", {"q": None}, MISSING),
        (WRITING + PROMPT + "doc_to_target: c\n", {"c": "x"}, OTHER_FORM),
        (WRITING + PROMPT + "doc_to_target: c\n", {"c": None}, NO_ANSWER),
        (WRITING + PROMPT + "doc_to_target: q\n", {"q": ["x"]}, OTHER_FORM),
    ],
)
def test_a_document_of_another_form_is_left_out(
    definition: str, bad: dict[str, Any], says: str, place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [{"q": f"It is {number}", "c": ["x", "y", "z"], "one": 1, "two": [0, 1]} for number in range(4)]
    documents[place] |= bad
    task = task_of(tmp_path, documents, definition, monkeypatch)
    assert [item.problem for item in task.items] == [says if number == place else None for number in range(4)]


def test_prompts_that_are_all_numbers_name_choices_as_in_lm_eval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [{"q": str(number % 2), "c": ["One", "Two"]} for number in range(3)]
    task = task_of(tmp_path, documents, CHOOSING + PROMPT + "doc_to_target: ' ends'\n", monkeypatch)
    for item, gold in zip(task.items, (0, 1, 0), strict=True):
        assert isinstance(item.asks, Requests)
        assert ([request.context for request in item.asks], item.gold) == (["One", "Two"], (gold,))


def test_the_form_does_not_depend_on_the_limit_and_is_seen_in_large_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [{"q": "A", "c": ["x", "y", "z"], "one": [1] if number < 2 else 1} for number in range(1001)]
    # JSON columns have one type.
    documents = [document | {"one": json.dumps(document["one"])} for document in documents]
    task_of(tmp_path, documents, CHOOSING + PROMPT + "doc_to_target: '{{one}}'\n", monkeypatch)
    found = lm_eval_task.LmEvalTask("own", limit=3).items
    assert [item.problem for item in found] == [OTHER_FORM, OTHER_FORM, None]
    with pytest.raises(UserError, match=f"2 documents tried, none of them valid .{OTHER_FORM}"):
        lm_eval_task.LmEvalTask("own", limit=2)
