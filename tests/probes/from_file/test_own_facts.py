"""Facts from one's own file, with templates beside it: statements as in BEAR, and files that cannot be read.

Covers ``probes.from_file.facts`` and ``probes.from_file.templates``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.bear import BearTask
from forgetmeter.probes.by_relation import CountsRelations
from forgetmeter.probes.facts.task import FactsTask
from forgetmeter.probes.loading import load_task, task_problems
from forgetmeter.probes.registry import find_task
from forgetmeter.records.item import ClozeAnswer, Item

FACTS: list[dict[str, Any]] = [
    {"subject": "Oz", "relation": "capital", "object": "the Emerald City", "popularity": 9},
    {"subject": "the land of Lilliput", "relation": "capital", "object": "Mildendo"},
    {"subject": "Oz", "relation": "colour", "object": ["green", "emerald"]},
    {"subject": "Hyrule", "relation": "colour", "object": "gold"},
]
"""Made up."""
TEMPLATES = {
    "templates": {"capital": ["[X]'s capital is [Y].", "[Y] is the capital of [X]."], "colour": "[X] is all [Y]."}
}


def write(folder: Path, facts: Sequence[Mapping[str, Any]], beside: Any = TEMPLATES) -> str:
    path = folder / "own.jsonl"
    path.write_text("".join(f"{json.dumps(fact)}\n" for fact in facts), encoding="utf-8")
    # JSON is YAML.
    if beside is not None:
        path.with_suffix(".yaml").write_text(beside if isinstance(beside, str) else json.dumps(beside, indent=1))
    return f"file:{path}"


def statements(item: Item) -> list[str]:
    return [item.cloze.filled(choice) for choice in item.choices]


def refusal(name: str) -> str:
    with pytest.raises(UserError) as caught:
        load_task(name)
    return str(caught.value)


def test_each_fact_is_asked_by_each_template_among_the_objects_of_its_relation(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, FACTS))
    assert [item.id for item in task.items] == [
        "file/1/0", "file/2/0", "file/1/1", "file/2/1", "file/3/0", "file/4/0",
    ]  # fmt: skip
    assert statements(task.items[1]) == [
        "The land of Lilliput's capital is Mildendo.",
        "The land of Lilliput's capital is the Emerald City.",
    ]
    assert statements(task.items[2]) == ["Mildendo is the capital of Oz.", "The Emerald City is the capital of Oz."]
    assert (task.items[2].gold, task.items[4].choices, task.items[4].gold) == (
        (1,), ("emerald", "gold", "green"), (0, 2),
    )  # fmt: skip
    assert task.items[0].fields == {
        "relation": "capital", "subject": "Oz", "object": "the Emerald City", "template": "0", "popularity": "9",
    }  # fmt: skip
    assert task.items[4].fields["object"] == "green / emerald"
    assert {item.cloze.among for item in task.items} == {"candidates"}
    assert isinstance(task, CountsRelations)
    assert [(each.relation, each.prompt, each.read) for each in task.relations] == [
        ("capital", "[X]'s capital is [Y]. / [Y] is the capital of [X].", 4),
        ("colour", "[X] is all [Y].", 2),
    ]


def test_options_select_templates_and_the_ranking(tmp_path: Path) -> None:
    name = write(tmp_path, FACTS)
    task = load_task(f"{name}:ranking=answers:templates=0")
    assert [(item.id, item.cloze.among) for item in task.items] == [
        (f"file/{place}/0", "answers") for place in (1, 2, 3, 4)
    ]
    declared = find_task(name)
    assert declared is not None
    said = [declared.things(declared.parse(f"{name}{options}"), 2) for options in ("", ":templates=0")]
    assert said == ["questions", "facts"]
    assert task_problems(f"{name}:templates=1") == [
        "option templates of task 'file': no template 1 in colour (allowed: 0)"
    ]
    # Only templates of all relations, not those of the first one without the requested template.
    assert task_problems(f"{name}:templates=2") == [
        "option templates of task 'file': no template 2 in capital and 1 more (allowed: 0)"
    ]
    assert (
        "has [X] after [Y], so a decoder would not have read the subject" in task_problems(f"{name}:ranking=answers")[0]
    )


def test_a_limit_takes_the_first_facts_of_each_relation_in_each_template(tmp_path: Path) -> None:
    whole, part = load_task(name := write(tmp_path, FACTS)), load_task(name, limit=1)
    assert [item.id for item in part.items] == ["file/1/0", "file/1/1", "file/3/0"]
    assert all(item in whole.items for item in part.items)
    assert part.description.official_size == whole.description.official_size


def test_candidates_may_be_listed(tmp_path: Path) -> None:
    name = write(tmp_path, FACTS, TEMPLATES | {"candidates": {"capital": ["Mildendo", "Gotham"]}})
    items = load_task(name).items
    assert items[0].choices == ("Mildendo", "Gotham")
    assert [item.problem for item in items[:2]] == ["right answer not among the choices", None]


def test_judging_is_that_of_the_built_in_facts(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, FACTS))
    values = [(-1.0, -2.0), (-1.0, -2.0), None, (-3.0, -1.0), (-3.0, -2.0, -1.0), None]
    judgement = task.judge([None if each is None else ClozeAnswer(each) for each in values])
    assert [(each.item_id, each.correct, each.rank, each.margin) for each in judgement.outcomes] == [
        ("file/1/0", False, 2, -1.0),
        ("file/2/0", True, 1, 1.0),
        ("file/2/1", False, 2, -2.0),
        ("file/3/0", True, 1, 1.0),
    ]
    assert judgement.metrics["p_at_1"] == 0.5
    assert judgement.metrics["p_at_1_macro"] == pytest.approx((1 / 3 + 1) / 2)
    assert judgement.metrics["p_at_1_template_1"] == 0.0


def test_items_are_those_of_bear_on_the_same_statements(data: Path, tmp_path: Path) -> None:
    bear = load_task("bear:relations=P36", data=data)
    assert isinstance(bear, BearTask)
    facts = {item.fields["fact"]: item.fields for item in bear.items}.values()
    rows = [{"subject": each["subject"], "relation": "P36", "object": each["object"]} for each in facts]
    listed = json.loads((data / "BEAR" / "metadata_relations.json").read_text())["P36"]
    beside = {
        "templates": {"P36": listed["templates"]},
        "candidates": {"P36": listed["answer_space_labels"]},
    }
    own = load_task(write(tmp_path, rows, beside)).items
    asked = [(item.asks, item.choices, item.gold) for item in own]
    assert sorted(asked, key=repr) == sorted([(item.asks, item.choices, item.gold) for item in bear.items], key=repr)


def test_items_are_those_of_the_built_in_facts_on_the_same_statements(made_up_facts: Path, tmp_path: Path) -> None:
    declared = find_task("facts")
    assert declared is not None
    built_in = FactsTask(declared.parse("facts"), path=made_up_facts)
    content = json.loads(made_up_facts.read_text())
    listed = content["relations"]
    beside = {
        "templates": {each["relation"]: each["phrasings"] for each in listed},
        "candidates": {each["relation"]: each["answers"] for each in listed},
    }
    own = load_task(f"{write(tmp_path, content['facts'], beside)}:ranking=answers").items
    assert [(item.asks, item.choices, item.gold) for item in own] == [
        (item.asks, item.choices, item.gold) for item in built_in.items
    ]
    assert [item.fields.get("popularity") for item in own] == [item.fields.get("popularity") for item in built_in.items]


@pytest.mark.parametrize("column", ["subject", "relation", "object"])
def test_a_fact_without_a_value_is_left_out(tmp_path: Path, column: str) -> None:
    items = load_task(write(tmp_path, [*FACTS, {**FACTS[0], "subject": "Gotham", column: " "}])).items
    assert {item.problem for item in items} == {None, f"{column} is missing"}


@pytest.mark.parametrize(
    ("fact", "says"),
    [
        ({"subject": "Oz", "relation": "capital", "object": "Gotham"}, "line 5: subject 'Oz' of relation 'capital' is"),
        ({"subject": 1.5, "relation": "capital", "object": "Gotham"}, "line 5: 'subject' is 1.5, not text"),
        ({"subject": "a", "relation": "capital", "object": {"a": 1}}, "line 5: 'object' is {'a': 1}, not a text"),
        ({"subject": "a", "relation": "capitol", "object": "b"}, "line 5: relation 'capitol' has no temp.* 'capital'"),
    ],
)  # fmt: skip
def test_wrong_facts_are_refused_with_their_line(tmp_path: Path, fact: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        load_task(write(tmp_path, [*FACTS, fact]))


def test_a_relation_with_one_answer_needs_candidates(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, FACTS[:1]))
    assert (
        "line 1: relation 'capital': the only object is 'the Emerald City', so there is nothing to choose from; li"
        in said
    )


@pytest.mark.parametrize(
    ("beside", "says"),
    [
        (None, "facts need templates, but '.*own.yaml' does not exist; create it, e.g. with templates: "),
        ("", "own.yaml:1: must be a mapping with templates and candidates"),
        ("templates: [", "own.yaml:1: not valid YAML"),
        ("template: {a: b}", "own.yaml:1: unknown key 'template'; did you mean 'templates'"),
        ("candidates: {a: [b]}", "own.yaml' has no templates"),
        ("templates:\n  capital: [1984]", "own.yaml:2: templates of 'capital': 1984 is not text; put it in quotes"),
        ("templates:\n  capital:\n  - '[Y] it is.'", "own.yaml:3: template '.Y. it is.' of 'capital' must contain .X."),
        ("templates:\n  capital: '[X] is [Y] or [Y].'", "own.yaml:2: template .* must contain .X. .* .Y. once"),
        ("templates:\n  no: '[X] is [Y].'", "own.yaml:1: relation False is not text; put it in quotes"),
        ("templates:\n  a: '[X] is [Y].'\n  a: ''", "own.yaml:3: duplicate key 'a'"),
        ("templates: {a: '[X] [Y]'}\ncandidates: {b: [c, d]}", "own.yaml:2: unknown relation 'b' in templates"),
        ("templates: {a: '[X] [Y]'}\ncandidates: {a: [no, d]}", "own.yaml:2: candidates of 'a': False is not text"),
        ("templates: {a: '[X] [Y]'}\ncandidates: {a: [c, c]}", "own.yaml:2: candidates of 'a': 'c' is a duplicate"),
        ("templates: {a: '[X] [Y]'}\ncandidates: {a: [c]}", "own.yaml:2: candidates of 'a': at least two are needed"),
    ],
)  # fmt: skip
def test_wrong_templates_are_refused_with_their_line(tmp_path: Path, beside: str | None, says: str) -> None:
    name = write(tmp_path, FACTS, beside)
    with pytest.raises(UserError, match=says.replace("?", r"\?")):
        load_task(name)
