"""The built-in facts as a task, on a small made-up file and as shipped.

Covers ``probes.facts.task``, ``probes.by_relation`` and ``probes.loading``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.by_relation import CountsRelations
from forgetmeter.probes.facts.task import TASK, FactsTask
from forgetmeter.probes.loading import load_task, task_names, task_problems
from forgetmeter.records.item import ClozeAnswer, Item, VocabularyAnswer


def facts(path: Path, options: str = "", limit: int | None = None) -> FactsTask:
    return FactsTask(TASK.parse(f"facts{options}"), limit=limit, path=path)


def asked(item: Item) -> str:
    return item.cloze.filled("___")


def test_each_fact_is_asked_by_each_phrasing(made_up_facts: Path) -> None:
    task = facts(made_up_facts)
    assert {item.id: asked(item) for item in task.items} == {
        "facts/ruler/0/0": "Lilliput is ruled by ___.",
        "facts/ruler/0/1": "The land of Oz is ruled by ___.",
        "facts/ruler/0/2": "Balnibarbi is ruled by ___.",
        "facts/ruler/1/0": "The ruler of Lilliput is ___.",
        "facts/ruler/1/1": "The ruler of the land of Oz is ___.",
        "facts/ruler/1/2": "The ruler of Balnibarbi is ___.",
        "facts/colour/0/0": "The colour of the land of Oz is ___.",
        "facts/colour/1/0": "The land of Oz is all ___.",
    }
    assert task.description.official_size == 8
    assert task.description.version == "made up"
    assert task.description.primary_metric == "p_at_1"


def test_the_answers_of_the_relation_compete_in_the_blank(made_up_facts: Path) -> None:
    item = facts(made_up_facts).items[4]
    assert (item.cloze.before, item.cloze.after, item.cloze.among) == (
        "The ruler of the land of Oz is ",
        ".",
        "answers",
    )
    assert item.choices == ("Golbasto", "Munodi", "Ozma")
    assert item.gold == (2,)
    assert item.fields == {
        "relation": "ruler",
        "relation_label": "ruler of a country",
        "subject": "the land of Oz",
        "object": "Ozma",
        "popularity": "9",
        "template": "1",
    }


def test_unknown_popularity_is_left_out(made_up_facts: Path) -> None:
    task = facts(made_up_facts, ":templates=0")
    assert [item.fields.get("popularity") for item in task.items] == ["500", "9", None, None]


def test_relations_and_templates_can_be_chosen_without_changing_an_item(made_up_facts: Path) -> None:
    everything = {item.id: item for item in facts(made_up_facts).items}
    chosen = facts(made_up_facts, ":relations=ruler:templates=1")
    assert [item.id for item in chosen.items] == ["facts/ruler/1/0", "facts/ruler/1/1", "facts/ruler/1/2"]
    assert all(everything[item.id] == item for item in chosen.items)
    assert str(chosen.description.name) == "facts:relations=ruler:templates=1"


def test_a_limit_takes_the_same_facts_of_each_relation_and_phrasing(made_up_facts: Path) -> None:
    everything = {item.id: item for item in facts(made_up_facts).items}
    few = facts(made_up_facts, limit=1)
    assert [item.id for item in few.items] == [
        "facts/ruler/0/0",
        "facts/ruler/1/0",
        "facts/colour/0/0",
        "facts/colour/1/0",
    ]
    assert all(everything[item.id] == item for item in few.items)
    assert few.description.official_size == 8


def test_the_content_hash_depends_on_question_and_answers(made_up_facts: Path) -> None:
    before = {item.id: item.content_hash for item in facts(made_up_facts).items}
    assert len(set(before.values())) == len(before)
    text = made_up_facts.read_text()
    made_up_facts.write_text(
        text.replace('"subject": "Balnibarbi", "object": "Munodi"', '"subject": "Laputa", "object": "Ozma"')
    )
    after = {item.id: item.content_hash for item in facts(made_up_facts).items}
    assert [key for key in before if before[key] != after[key]] == ["facts/ruler/0/2", "facts/ruler/1/2"]


def test_judging_ranks_the_answers(made_up_facts: Path) -> None:
    task = facts(made_up_facts)
    right, third, second = (ClozeAnswer((-1.0, *others)) for others in ((-2.0, -3.0), (-1.5, -2.5), (-2.0, -3.0)))
    green, blue = ClozeAnswer((-2.0, -1.0)), ClozeAnswer((-1.0, -2.0))
    judgement = task.judge([right, third, second, right, None, None, green, blue])
    assert [(o.item_id, o.correct, o.rank) for o in judgement.outcomes] == [
        ("facts/ruler/0/0", True, 1),
        ("facts/ruler/0/1", False, 3),
        ("facts/ruler/0/2", False, 2),
        ("facts/ruler/1/0", True, 1),
        ("facts/colour/0/0", True, 1),
        ("facts/colour/1/0", False, 2),
    ]
    assert judgement.outcomes[1].prediction == "Golbasto"
    assert judgement.outcomes[1].margin == pytest.approx(-1.5)
    assert judgement.metrics == pytest.approx(
        {
            "p_at_1": 3 / 6,
            "p_at_1_macro": (2 / 4 + 1 / 2) / 2,
            "p_at_5": 1,
            "p_at_5_macro": 1,
            "mrr": (1 + 1 / 3 + 1 / 2 + 1 + 1 + 1 / 2) / 6,
            "mrr_macro": ((1 + 1 / 3 + 1 / 2 + 1) / 4 + (1 + 1 / 2) / 2) / 2,
            "p_at_1_template_0": 2 / 4,
            "p_at_1_template_1": 1 / 2,
        }
    )


def test_an_answer_without_candidates_is_a_bug(made_up_facts: Path) -> None:
    task = facts(made_up_facts, ":relations=colour:templates=0")
    with pytest.raises(ValueError, match="2 choices, but 0 were scored"):
        task.judge([ClozeAnswer(vocabulary=VocabularyAnswer(("a",) * 5, 1, -1.0, -2.0))])


def test_facts_of_each_relation_are_counted(made_up_facts: Path) -> None:
    task = facts(made_up_facts, limit=1)
    assert isinstance(task, CountsRelations)
    assert [(each.relation, each.read, each.items) for each in task.relations] == [("ruler", 6, 6), ("colour", 2, 2)]
    assert task.relations[0].prompt == "[X] is ruled by [Y]. / The ruler of [X] is [Y]."


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ":relations=country_capitol",
            "unknown relation 'country_capitol' in task 'facts'; did you mean 'country_capital'?",
        ),
        (":templates=0+4", "no template 4 in country_capital and 19 more (allowed: 0, 1, 2, 3)"),
        (":template=0", "has no option 'template'; did you mean 'templates'?"),
    ],
)
def test_invalid_requests_are_refused_up_front(options: str, says: str) -> None:
    (problem,) = task_problems(f"facts{options}")
    assert says in problem
    with pytest.raises(UserError):
        load_task(f"facts{options}")


def test_every_wrong_relation_is_named() -> None:
    assert len(task_problems("facts:relations=moon+sun:templates=9")) == 2


def test_the_shipped_facts_need_no_data_folder(tmp_path: Path) -> None:
    assert "facts" in task_names()
    assert task_problems("facts", data=tmp_path / "none") == []
    task = load_task("facts", limit=2, data=tmp_path / "none")
    assert len(task.items) == 2 * 4 * 20
    assert len({item.id for item in task.items}) == len(task.items)


def test_ids_and_hashes_of_the_shipped_facts_are_stable() -> None:
    # Stored runs are paired by these: changed facts, phrasings or order need a new version.
    items = load_task("facts:relations=country_capital", limit=2).items
    assert [(item.id, item.fields["subject"], item.content_hash) for item in items[:2]] == [
        ("facts/country_capital/0/0", "Liberia", "fedbde977a624710"),
        ("facts/country_capital/0/1", "the Philippines", "d5efc123fcbf56a0"),
    ]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "3", True])
def test_a_limit_is_a_positive_integer(limit):
    with pytest.raises(UserError, match="is not a positive integer"):
        load_task("facts:templates=0", limit=limit)
