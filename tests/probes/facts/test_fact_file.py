"""The shipped built-in facts, and damaged copies of a small made-up file.

Covers ``probes.facts.task``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.facts.task import FACT_FILE, FactFile, FactRelation, read_fact_file, statement


@pytest.fixture(scope="module")
def shipped() -> FactFile:
    return read_fact_file()


@pytest.fixture(params=[relation["relation"] for relation in json.loads(FACT_FILE.read_text("utf-8"))["relations"]])
def relation(request: pytest.FixtureRequest, shipped: FactFile) -> FactRelation:
    return next(each for each in shipped.relations if each.name == request.param)


def test_there_are_enough_facts_relations_and_phrasings(shipped: FactFile) -> None:
    assert sum(len(each.facts) for each in shipped.relations) >= 2000
    assert len(shipped.relations) >= 12
    assert shipped.trained_phrasings >= 3
    assert all(len(each.phrasings) > shipped.trained_phrasings for each in shipped.relations)


def test_a_subject_is_unique_and_has_one_answer(relation: FactRelation) -> None:
    # Ignoring case.
    subjects = Counter(fact.subject.casefold() for fact in relation.facts)
    assert [subject for subject, number in subjects.items() if number > 1] == []


def test_every_answer_is_a_single_word_not_in_the_subject(relation: FactRelation) -> None:
    assert [answer for answer in relation.answers if not answer.isalnum()] == []
    assert set(relation.answers) == {fact.object for fact in relation.facts}
    assert len(set(relation.answers)) == len(relation.answers)
    assert [fact for fact in relation.facts if fact.object in fact.subject] == []
    if not relation.name.endswith(("_code", "_symbol", "_abbreviation")):
        assert [fact for fact in relation.facts if fact.object.casefold() in fact.subject.casefold()] == []


def test_answers_of_a_relation_are_distinct_ignoring_case(relation: FactRelation) -> None:
    # "krona" and "króna" would both be right for Sweden.
    assert len({answer.casefold() for answer in relation.answers}) == len(relation.answers)


def test_statements_are_well_formed(relation: FactRelation) -> None:
    assert len(set(relation.phrasings.values())) == len(relation.phrasings)
    for phrasing in relation.phrasings.values():
        assert phrasing.endswith(" [Y].")
        for fact in relation.facts:
            text = statement(phrasing, fact.subject).replace("[Y]", fact.object)
            assert text[0] == text[0].upper()
            assert text.endswith(f" {fact.object}.")
            assert fact.subject[1:] in text
            assert not any(wrong in text for wrong in ("  ", "[", "]", "the the ", "The the ", " ."))


def test_popularity_is_a_number_of_people(relation: FactRelation) -> None:
    known = [fact.popularity for fact in relation.facts if fact.popularity is not None]
    assert all(0 < number < 8_000_000_000 for number in known)
    assert bool(known) == (relation.popularity != "none is known")


def test_the_first_facts_of_a_relation_are_a_fair_sample(shipped: FactFile) -> None:
    # If sorted by name or popularity, the first tenth would differ from the whole.
    for relation in shipped.relations:
        subjects = [fact.subject for fact in relation.facts]
        assert subjects != sorted(subjects)
        known = [fact.popularity for fact in relation.facts if fact.popularity is not None]
        assert known not in (sorted(known), sorted(known, reverse=True)) or not known


@pytest.mark.parametrize(
    ("relation", "subject", "object_"),
    [
        ("country_capital", "the Netherlands", "Amsterdam"),
        ("country_currency", "Croatia", "euro"),
        ("country_calling_code", "South Sudan", "211"),
        ("city_country", "Astana", "Kazakhstan"),
        ("element_symbol", "tungsten", "W"),
        ("element_number", "oganesson", "118"),
        ("element_period", "palladium", "5"),
        ("language_code", "Albanian", "sq"),
        ("us_state_capital", "Kentucky", "Frankfort"),
        ("weekday_word", "Wednesday in German", "Mittwoch"),
    ],
)
def test_some_facts(shipped: FactFile, relation: str, subject: str, object_: str) -> None:
    (facts,) = [each.facts for each in shipped.relations if each.name == relation]
    assert [fact.object for fact in facts if fact.subject == subject] == [object_]


@pytest.mark.parametrize(
    ("relation", "subject"),
    [
        ("country_capital", "South Africa"),
        ("country_capital", "Singapore"),
        ("country_capital", "Tunisia"),
        ("country_continent", "Turkey"),
        ("country_currency", "Bulgaria"),
        ("country_language", "Switzerland"),
        ("country_calling_code", "Kazakhstan"),
        ("city_country", "Birmingham"),
        ("city_country", "Hyderabad"),
        ("city_country", "Valencia"),
        ("us_city_state", "Portland"),
        ("us_city_state", "Springfield"),
    ],
)
def test_ambiguous_facts_and_those_that_contain_their_answer_are_left_out(
    shipped: FactFile, relation: str, subject: str
) -> None:
    (facts,) = [each.facts for each in shipped.relations if each.name == relation]
    assert subject not in {fact.subject for fact in facts}


def no_relation(content: dict[str, Any]) -> None:
    content.update(relations=[], facts=[])


def no_facts(content: dict[str, Any]) -> None:
    content["facts"] = []


def no_version(content: dict[str, Any]) -> None:
    del content["version"]


def no_object(content: dict[str, Any]) -> None:
    del content["facts"][0]["object"]


def strange_object(content: dict[str, Any]) -> None:
    content["facts"][0]["object"] = "Gotham"


def strange_relation(content: dict[str, Any]) -> None:
    content["facts"][0]["relation"] = "moon"


def twice(content: dict[str, Any]) -> None:
    content["facts"].append(content["facts"][0])


def no_subject(content: dict[str, Any]) -> None:
    content["facts"][0]["subject"] = " "


def same_answers(content: dict[str, Any]) -> None:
    content["relations"][0]["answers"].append("Ozma")


def no_answer(content: dict[str, Any]) -> None:
    content["relations"][0]["answers"].append("")


def same_names(content: dict[str, Any]) -> None:
    content["relations"].append(content["relations"][0])


def open_phrasing(content: dict[str, Any]) -> None:
    content["relations"][0]["phrasings"][0] = "[Y] is the ruler of [X]."


def popular(content: dict[str, Any]) -> None:
    content["facts"][0]["popularity"] = "very"


def no_list(content: dict[str, Any]) -> None:
    content["relations"][0]["phrasings"] = 3


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (no_relation, "no relations"),
        (no_facts, "relation ruler has no facts"),
        (no_version, "lack 'version'"),
        (no_object, "lack 'object'"),
        (strange_object, "object 'Gotham' of ruler is not one of its answers"),
        (strange_relation, "lack 'moon'"),
        (twice, "subject 'Lilliput' of ruler is not text or is a duplicate"),
        (no_subject, "a subject of ruler is empty"),
        (same_answers, "answers of ruler must be texts without duplicates"),
        (no_answer, "answers of ruler must be texts without duplicates"),
        (same_names, "two relations have the same name"),
        (
            open_phrasing,
            "phrasing '[Y] is the ruler of [X].' of ruler must contain [X] and [Y] once each, and end with '[Y].'",
        ),
        (popular, "popularity 'very' of 'Lilliput' in ruler is not an integer"),
        (no_list, "are damaged"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(
    made_up_facts: Path, damage: Callable[[dict[str, Any]], None], says: str
) -> None:
    content = json.loads(made_up_facts.read_text())
    damage(content)
    made_up_facts.write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        read_fact_file(made_up_facts)
    message = str(caught.value)
    assert message.startswith(f"the built-in facts '{made_up_facts}' ")
    assert says in message
    assert message.endswith("; install forgetmeter again")
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"", "not valid JSON"),
        (b'{"a', "not valid JSON"),
        (b'{"a": 1, "a": 1}', "duplicate key"),
        (b"[]", ""),
    ],
)
def test_a_missing_or_truncated_file_is_named(made_up_facts: Path, content: bytes | None, says: str) -> None:
    made_up_facts.unlink() if content is None else made_up_facts.write_bytes(content)
    with pytest.raises(UserError, match=f"{says}.*install forgetmeter again"):
        read_fact_file(made_up_facts)
