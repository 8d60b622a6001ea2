"""BEAR's items and metrics from files in its layout, and damaged files.

Covers ``probes.cloze`` and ``probes.json_lines``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.bear import BearTask
from forgetmeter.probes.loading import load_task, task_problems
from forgetmeter.records.item import ClozeAnswer, Item, VocabularyAnswer

METADATA = "metadata_relations.json"


def bear(data: Path, options: str = "", **more: Any) -> BearTask:
    task = load_task(f"bear{options}", data=data, **more)
    assert isinstance(task, BearTask)
    return task


def statements(item: Item) -> list[str]:
    return [item.cloze.filled(choice) for choice in item.choices]


def test_each_fact_is_asked_by_each_template_among_all_answers(data: Path) -> None:
    task = bear(data)
    assert [item.id for item in task.items] == [
        "bear/P9/0/0", "bear/P36/0/0", "bear/P36/0/1", "bear/P36/1/0", "bear/P36/1/1",
    ]  # fmt: skip
    item = task.items[2]
    assert statements(item) == [
        "The Emerald City is the capital of Oz.",
        "Mildendo is the capital of Oz.",
        "[X]ville is the capital of Oz.",
    ]
    assert item.gold == (0,)
    assert item.fields == {
        "relation": "P36",
        "subject": "Oz",
        "object": "the Emerald City",
        "template": "1",
        "fact": "P36/0",
    }
    assert (task.description.official_size, task.description.filters) == (5, {})


def test_answers_keep_their_case_inside_a_statement_and_are_shared(data: Path) -> None:
    items = bear(data, ":relations=P36").items
    assert items[0].choices == ("the Emerald City", "Mildendo", "[X]ville")
    assert items[0].choices is items[2].choices
    assert items[1].choices is items[3].choices


def test_a_subject_may_contain_anything(data: Path) -> None:
    task = bear(data)
    assert statements(task.items[0])[0] == "Of  spaced , tea is best."
    odd = task.items[3]
    assert statements(odd)[2] == "Lower [Y] case's capital is [X]ville."
    # Its place among the answers is given by its identifier.
    assert odd.gold == (2,)


def test_a_relation_with_a_single_answer_asks_nothing(data: Path) -> None:
    """Every model would be right."""
    metadata = data / "BEAR" / METADATA
    relations = json.loads(metadata.read_text())
    relations["P36"]["answer_space_labels"] = relations["P36"]["answer_space_labels"][:1]
    relations["P36"]["answer_space_ids"] = relations["P36"]["answer_space_ids"][:1]
    metadata.write_text(json.dumps(relations))
    facts = data / "BEAR" / "P36.jsonl"
    facts.write_text(facts.read_text().splitlines()[0])
    assert {item.problem for item in bear(data, ":relations=P36").items} == {"no choice is wrong"}


def test_templates_can_be_chosen(data: Path) -> None:
    assert [item.id for item in bear(data, ":relations=P36:templates=1").items] == ["bear/P36/0/1", "bear/P36/1/1"]


def test_a_limit_is_a_number_of_items_of_each_relation(data: Path) -> None:
    assert [item.id for item in bear(data, limit=3).items] == [
        "bear/P9/0/0", "bear/P36/0/0", "bear/P36/0/1", "bear/P36/1/0",
    ]  # fmt: skip


def test_totals(data: Path) -> None:
    task = bear(data)
    # Right in P9; in P36 for one fact with the first template, for both with the second.
    chosen = [1, 0, 0, 1, 2]
    answers = [
        ClozeAnswer(tuple(-1.0 if place == best else -2.0 for place in range(len(item.choices))))
        for item, best in zip(task.items, chosen, strict=True)
    ]
    judgement = task.judge(answers)
    assert [outcome.correct for outcome in judgement.outcomes] == [True, True, True, False, True]
    assert judgement.outcomes[2].prediction == judgement.outcomes[2].gold == "The Emerald City"
    # Less likely than the prediction, and as likely as an answer listed earlier.
    assert judgement.outcomes[3].rank == 3
    assert judgement.metrics == pytest.approx(
        {
            "accuracy": 4 / 5,
            "accuracy_macro": (1 + 3 / 4) / 2,
            "accuracy_template_0": 2 / 3,
            "accuracy_template_1": 1,
        }
    )


def test_an_answer_without_candidates_is_a_bug(data: Path) -> None:
    task = bear(data, ":relations=P9")
    with pytest.raises(ValueError, match="2 choices, but 0 were scored"):
        task.judge([ClozeAnswer(vocabulary=VocabularyAnswer(("a",) * 5, 1, -1.0, -2.0))])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (":relations=P37+P9", "unknown relation 'P37' in task 'bear'; did you mean 'P36'? (allowed: P36, P9)"),
        (":templates=0+1", "no template 1 in P9 (allowed: 0)"),
        (":template=0", "has no option 'template'; did you mean 'templates'?"),
    ],
)
def test_invalid_requests_are_refused_up_front(data: Path, options: str, says: str) -> None:
    (problem,) = task_problems(f"bear{options}", data=data)
    assert says in problem


def test_a_relation_without_its_file_is_named_unless_others_are_chosen(data: Path) -> None:
    (data / "BEAR" / "P36.jsonl").unlink()
    (problem,) = task_problems("bear", data=data)
    assert f"relation P36 is in {METADATA}, but '" in problem
    assert "fetch it again from the lm-pub-quiz project" in problem
    assert task_problems("bear:relations=P9", data=data) == []


def test_a_file_without_its_relation_is_named(data: Path) -> None:
    (data / "BEAR" / "P77.jsonl").write_text("{}\n")
    (problem,) = task_problems("bear", data=data)
    assert "P77.jsonl' belongs to no relation" in problem


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, f"{METADATA}' cannot be read .*fetch it again from the lm-pub-quiz project"),
        (b"", "is not valid JSON"),
        (b'{"P36": {}, "P36": {}}', "is not valid JSON .duplicate key 'P36'."),
        (b'{"P36": {"templa', "is not valid JSON"),
        (b"[]", "lists no relations"),
        (b"{}", "lists no relations"),
    ],
)
def test_damaged_metadata_is_named(data: Path, content: bytes | None, says: str) -> None:
    path = data / "BEAR" / METADATA
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        load_task("bear", data=data)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"templates": ["[X] is where?"]},
            r"template 0 of relation P9 .* must contain \[Y\] once, but is '\[X\] is where",
        ),
        ({"templates": ["[Y] or [Y]?"]}, r"must contain \[Y\] once"),
        ({"templates": ["[Y] is best."]}, r"template 0 of relation P9 .* must contain \[X\], but is '\[Y\] is best"),
        ({"answer_space_labels": ["tea", "ink", "tea"]}, "relation P9 .*: 'tea' is a duplicate in answer_space_labels"),
        ({"answer_space_ids": ["Q1", "Q1"]}, "relation P9 .*: 'Q1' is a duplicate in answer_space_ids"),
        ({"answer_space_labels": ["tea", " "]}, "answer_space_labels must be"),
        ({"templates": []}, "relation P9 .* templates must be a list of texts"),
        ({"templates": None}, "templates must be"),
        ({"answer_space_labels": [1]}, "answer_space_labels must be"),
        ({"answer_space_labels": ["a", ""]}, "answer_space_labels must be"),
        ({"answer_space_ids": ["Q1"]}, "has 2 answer_space_labels, but 1 answer_space_ids"),
    ],
)
def test_a_damaged_relation_is_named(data: Path, change: dict[str, Any], says: str) -> None:
    path = data / "BEAR" / METADATA
    metadata = json.loads(path.read_text())
    metadata["P9"] |= change
    path.write_text(json.dumps(metadata))
    with pytest.raises(UserError, match=says):
        load_task("bear", data=data)


@pytest.mark.parametrize(
    ("fact", "says"),
    [
        ({"sub_label": "a"}, "'answer_idx' is missing"),
        ({"sub_label": "a", "answer_idx": "1"}, "'answer_idx' is '1', not an integer"),
        ({"sub_label": "a", "answer_idx": True}, "'answer_idx' is True, not an integer"),
        ({"sub_label": "a", "answer_idx": 2}, "answer_idx 2 is outside the 2 answers of its relation"),
        ({"sub_label": "a", "answer_idx": -1}, "answer_idx -1 is outside the 2 answers of its relation"),
        ({"sub_label": "a", "obj_id": "Q404"}, "'answer_idx' is missing"),
        ({"answer_idx": 1}, "'sub_label' is missing"),
        ({"answer_idx": 1, "sub_label": 7}, "'sub_label' is 7, not text"),
    ],
)
def test_a_damaged_fact_is_named_with_its_line(
    data: Path, write: Callable[..., None], fact: dict[str, Any], says: str
) -> None:
    write(data / "BEAR" / "P9.jsonl", [{"sub_label": "a", "answer_idx": 0}, fact])
    with pytest.raises(UserError, match=f"P9.jsonl' line 2: {says}; fetch it again"):
        load_task("bear", data=data)


@pytest.mark.parametrize(
    ("fact", "says"),
    [
        ({"sub_label": "", "answer_idx": 0}, "'sub_label' is empty"),
        ({"sub_label": " \t", "answer_idx": 0}, "'sub_label' is empty"),
        (
            {"sub_label": "Oz", "answer_idx": 0, "obj_label": "Mildendo"},
            "obj_label 'Mildendo' disagrees with answer 0 of its relation, 'the Emerald City'",
        ),
        (
            {"sub_label": "Oz", "answer_idx": 0, "obj_label": "the Emerald City", "obj_id": "Q8"},
            "obj_id 'Q8' disagrees with answer 0 of its relation, 'Q7'",
        ),
        ({"sub_label": "Oz", "obj_id": "Q9", "obj_label": "Mildendo"}, "obj_label 'Mildendo' disagrees with answer 2"),
        ({"sub_label": "Oz", "answer_idx": 0, "obj_label": 7}, "'obj_label' is 7, not text"),
    ],
)
def test_a_fact_that_contradicts_itself_or_asks_nothing_is_named_with_its_line(
    data: Path, write: Callable[..., None], fact: dict[str, Any], says: str
) -> None:
    write(data / "BEAR" / "P36.jsonl", [{"sub_label": "a", "answer_idx": 0, "obj_id": "Q7"}, fact])
    with pytest.raises(UserError, match=f"P36.jsonl' line 2: {says}.*; fetch it again"):
        load_task("bear", data=data)


def test_an_empty_file_is_named(data: Path) -> None:
    (data / "BEAR" / "P9.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match="P9.jsonl' is empty; fetch it again"):
        load_task("bear", data=data)
