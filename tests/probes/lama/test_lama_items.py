"""LAMA's items from files in its layout, and damaged files.

Covers ``probes.lama.task``, ``probes.lama.questions``, ``probes.lama.relations``, ``probes.json_lines`` and
``probes.by_relation``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.probes.lama.task import LamaTask
from forgetmeter.probes.loading import load_task, task_problems
from forgetmeter.records.item import Cloze, Item


def lama(name: str, data: Path, **options: Any) -> LamaTask:
    task = load_task(name, data=data, **options)
    assert isinstance(task, LamaTask)
    return task


def sentences(task: LamaTask) -> dict[str, str]:
    return {item.id: cloze(item).filled("___") for item in task.items}


def cloze(item: Item) -> Cloze:
    return item.cloze


def test_templates_ask_each_fact_once_in_the_order_of_relations(data: Path) -> None:
    task = lama("lama/trex", data)
    assert sentences(task) == {
        "lama/trex/P36/0": "The capital of Atlantis is ___ .",
        "lama/trex/P36/1": "The capital of Lilliput is ___ .",
        "lama/trex/P36/5": "The capital of Hyrule is ___ .",
        "lama/trex/P19/0": "Ada was born in ___ .",
        "lama/trex/P19/1": "Bea was born in ___ .",
        "lama/trex/P19/2": "Cy was born in ___ .",
        "lama/trex/P20/0": "Ada was born in ___ .",
    }
    assert task.description.filters == {"incomplete fact": 2, "repeated fact": 1, "not one blank": 1}
    assert task.description.official_size == 11
    assert [(r.relation, r.label, r.prompt, r.read, r.items) for r in task.relations] == [
        ("P36", "capital", "The capital of [X] is [Y] .", 6, 3),
        ("P19", "place of birth", "[X] was born in [Y] .", 3, 3),
        ("P20", "asks as P19 does", "[X] was born in [Y] .", 2, 1),
    ]


def test_an_item_knows_its_fact_and_the_objects_of_its_relation(data: Path) -> None:
    first, second, third = lama("lama/trex:relations=P36", data).items
    assert first.fields == {
        "relation": "P36",
        "relation_label": "capital",
        "subject": "Atlantis",
        "object": "Poseidonia",
        "uuid": "u0",
    }
    assert first.choices == ("Poseidonia", "Mildendo", "Gotham")
    assert first.choices is third.choices
    assert [item.gold for item in (first, second, third)] == [(0,), (1,), (1,)]
    assert first.asks == Cloze("The capital of Atlantis is ", " .", "vocabulary")


def test_multi_token_asks_among_candidates_under_the_same_ids(data: Path) -> None:
    plain, multi = lama("lama/trex", data), lama("lama/trex:multi_token=true", data)
    assert multi.description.name == "lama/trex:multi_token=true"
    assert {cloze(item).among for item in multi.items} == {"candidates"}
    assert [item.id for item in plain.items] == [item.id for item in multi.items]
    assert not {item.content_hash for item in plain.items} & {item.content_hash for item in multi.items}


def test_a_hash_depends_on_everything_that_is_asked(data: Path, write: Callable[..., None]) -> None:
    path = data / "LAMA" / "TREx" / "P20.jsonl"
    seen = set()
    for facts in (
        [("Ada", "Oz")],
        [("Bea", "Oz")],
        [("Ada", "Utopia")],
        [("Ada", "Oz"), ("Bea", "Utopia")],
    ):
        write(path, [{"sub_label": subject, "obj_label": answer} for subject, answer in facts])
        seen.add(lama("lama/trex:relations=P20", data).items[0].content_hash)
    assert len(seen) == 4


def test_evidence_asks_every_sentence(data: Path) -> None:
    task = lama("lama/trex:source=evidence", data)
    assert sentences(task) == {
        "lama/trex/P19/0/0": "Ada, of ___, counts.",
        "lama/trex/P19/0/2": "Ada came from ___.",
        "lama/trex/P19/2/0": "Ada came from ___.",
    }
    assert task.description.filters == {"incomplete fact": 2, "no evidence": 7, "not one blank": 1}
    # A fact without evidence counts as one question, as does each sentence.
    assert task.description.official_size == 13


def test_a_relation_without_evidence_is_refused_on_request(data: Path) -> None:
    with pytest.raises(UserError, match="relation P36 .* cannot be used with source=evidence.*use source=template"):
        load_task("lama/trex:source=evidence:relations=P19+P36", data=data)


def test_sentences_asked_before_are_marked_over_all_relations(data: Path) -> None:
    def marked(task: LamaTask) -> list[str]:
        return [item.id for item in task.items if item.fields.get("duplicate") == "true"]

    assert marked(lama("lama/trex", data)) == ["lama/trex/P20/0"]
    assert marked(lama("lama/trex:source=evidence", data)) == ["lama/trex/P19/2/0"]
    assert marked(lama("lama/trex:relations=P20", data)) == []


def test_a_limit_is_a_number_of_items_of_each_relation(data: Path) -> None:
    whole, part = lama("lama/trex", data), lama("lama/trex", data, limit=2)
    ids = [item.id for item in part.items]
    assert ids == [f"lama/trex/{each}" for each in ("P36/0", "P36/1", "P19/0", "P19/1", "P20/0")]
    assert list(part.items) == [item for item in whole.items if item.id in ids]
    assert (part.description.official_size, part.description.filters) == (11, whole.description.filters)


def test_google_re(data: Path) -> None:
    assert sentences(lama("lama/google_re", data)) == {
        "lama/google_re/place_of_birth/0": "Ada was born in ___ .",
        "lama/google_re/place_of_birth/1": "Bea was born in ___ .",
        "lama/google_re/date_of_birth/0": "Ada (born ___).",
        "lama/google_re/place_of_death/0": "Ada died in ___ .",
    }
    by_evidence = lama("lama/google_re:source=evidence", data)
    assert sentences(by_evidence) == {
        "lama/google_re/place_of_birth/0": "Ada is tall . She was born in ___ .",
        "lama/google_re/date_of_birth/0": "Ada (born ___) counts .",
    }
    assert by_evidence.description.filters == {"incomplete fact": 0, "not one blank": 2}
    assert by_evidence.items[0].fields["relation_label"] == "place of birth"


def test_squad_and_conceptnet_are_one_relation_each(data: Path) -> None:
    squad = lama("lama/squad", data)
    assert sentences(squad) == {"lama/squad/0": "Ice is ___.", "lama/squad/2": "Fire is ___."}
    assert squad.items[0].choices == ("cold", "Mars", "hot")
    assert squad.description.filters == {"incomplete fact": 0, "not one blank": 1}
    (sun,) = lama("lama/conceptnet", data).items
    assert (sun.id, sun.fields["subject"], sun.fields["relation"]) == ("lama/conceptnet/0", "sun", "conceptnet")


def test_the_names_are_canonical(data: Path) -> None:
    assert load_task("lama/trex:relations=P36+P19:source=template", data=data).description.name == (
        "lama/trex:relations=P19+P36"
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "lama/trex:relations=P37+P36",
            "unknown relation 'P37' in task 'lama/trex'; did you mean 'P36'? (allowed: P36, P19, P20)",
        ),
        ("lama/trex:relations=P102", "files of P102 do not exist: '"),
        ("lama/google_re:relations=place_of_brith", "did you mean 'place_of_birth'"),
        ("lama/squad:source=evidence", "has no option 'source'"),
    ],
)
def test_invalid_requests_are_refused_up_front(data: Path, name: str, says: str) -> None:
    (problem,) = task_problems(name, data=data)
    assert says in problem
    with pytest.raises(UserError):
        load_task(name, data=data)


@pytest.mark.parametrize(
    ("name", "lost", "says"),
    [
        (
            "lama/trex",
            "",
            "'{lama}' does not exist; run forgetmeter data fetch lama --data {data} .*LAMA/data.zip.*FORGETMETER_DATA",
        ),
        ("lama/trex", "relations.jsonl", "'{lama}/relations.jsonl' cannot be read .*fetch it again from"),
        ("lama/trex", "TREx", "'{lama}/TREx' does not exist; fetch it again"),
        ("lama/trex", "TREx/*", "has no file for any relation in relations.jsonl"),
        (
            "lama/google_re",
            "Google_RE/date_of_birth_test.jsonl",
            "'{lama}/Google_RE/date_of_birth_test.jsonl' does not",
        ),
        ("lama/squad", "Squad", "'{lama}/Squad/test.jsonl' does not exist"),
        ("lama/conceptnet", "ConceptNet", "'{lama}/ConceptNet/test.jsonl' does not exist; fetch it again"),
    ],
)
def test_missing_files_are_named_up_front(data: Path, name: str, lost: str, says: str) -> None:
    lama_folder = data / "LAMA"
    for path in lama_folder.glob(lost) if "*" in lost else [lama_folder / lost]:
        path.rename(data / f"lost-{path.name}")
    (problem,) = task_problems(name, data=data)
    with pytest.raises(UserError, match=says.format(lama=lama_folder, data=data)):
        raise UserError(problem)


def test_google_re_needs_only_the_requested_files(data: Path) -> None:
    (data / "LAMA" / "Google_RE" / "date_of_birth_test.jsonl").unlink()
    assert task_problems("lama/google_re:relations=place_of_birth", data=data) == []


@pytest.mark.parametrize(
    ("path", "content", "says"),
    [
        ("TREx/P36.jsonl", b"", "P36.jsonl' is empty; fetch it again"),
        ("TREx/P36.jsonl", b"\n\n", "P36.jsonl' is empty"),
        ("TREx/P36.jsonl", b'{"sub_label": "a", "obj_label": "b"}\n{"sub_la', "P36.jsonl' line 2: not valid JSON"),
        ("TREx/P36.jsonl", b'{"sub_label": "\xff", "obj_label": "b"}\n', "line 1: not valid JSON"),
        ("TREx/P36.jsonl", b"[1]\n", "line 1: not a JSON object: .1."),
        ("TREx/P36.jsonl", b"[" * 100_000 + b"\n", "line 1: not valid JSON"),
        (
            "TREx/P36.jsonl",
            b'{"sub_label": 3, "obj_label": "b"}\n',
            "line 1: 'sub_label' is 3, not text; fetch it again",
        ),
        ("TREx/P36.jsonl", b'{"sub_label": "a", "obj_label": ["b"]}\n', "'obj_label' is .'b'., not text"),
        ("TREx/P36.jsonl", b'{"sub_label": "a", "obj_label": "b", "uuid": 1}\n', "'uuid' is 1, not text"),
        (
            "TREx/P36.jsonl",
            b'{"sub_label": "a", "obj_label": "b", "predicate_id": "P19"}\n',
            "P36.jsonl' line 1: its predicate_id is P19, not P36; fetch it again",
        ),
        ("relations.jsonl", b'{"template": "[X] [Y]"}\n', "relations.jsonl' line 1: 'relation' is missing"),
        ("relations.jsonl", b'{"relation": "P36"}\n', "line 1: 'template' is missing"),
        (
            "relations.jsonl",
            b'{"relation": "P36", "template": "[X] is"}\n',
            "template '.X. is' must contain .X., and .Y. once",
        ),
        ("relations.jsonl", b'{"relation": "P36", "template": "it is [Y]"}\n', "must contain .X., and .Y. once"),
        ("relations.jsonl", b'{"relation": "P36", "template": "[X] [Y]"}\n' * 2, "line 2: duplicate relation P36"),
    ],
)
def test_damaged_files_are_named_with_the_line(data: Path, path: str, content: bytes, says: str) -> None:
    (data / "LAMA" / path).write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        load_task("lama/trex", data=data)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("fact", "says"),
    [
        ({"evidences": "none"}, "'evidences' must be a list of objects"),
        ({"evidences": [1]}, "'evidences' must be a list of objects"),
        ({"evidences": [{"masked_sentence": "[MASK]"}, {}]}, "'masked_sentence' of evidence 1 is missing or not text"),
    ],
)
def test_damaged_evidence_is_named_with_the_line(
    data: Path, write: Callable[..., None], fact: dict[str, Any], says: str
) -> None:
    write(data / "LAMA" / "TREx" / "P19.jsonl", [{"sub_label": "a", "obj_label": "b", **fact}])
    with pytest.raises(UserError, match=f"P19.jsonl' line 1: {says}"):
        load_task("lama/trex:source=evidence:relations=P19", data=data)


@pytest.mark.parametrize(
    ("fact", "says"),
    [({}, "'masked_sentences' is missing"), ({"masked_sentences": "[MASK]"}, "'masked_sentences' must be a list")],
)
def test_damaged_sentences_are_named_with_the_line(
    data: Path, write: Callable[..., None], fact: dict[str, Any], says: str
) -> None:
    write(data / "LAMA" / "Squad" / "test.jsonl", [{"sub_label": "a", "obj_label": "b", **fact}])
    with pytest.raises(UserError, match=f"test.jsonl' line 1: {says}"):
        load_task("lama/squad", data=data)


def test_a_folder_in_place_of_a_file_is_a_user_error(data: Path) -> None:
    path = data / "LAMA" / "Squad" / "test.jsonl"
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="does not exist"):
        load_task("lama/squad", data=data)


def test_a_relation_without_its_file_and_a_file_without_its_relation_are_named(data: Path) -> None:
    folder = data / "LAMA"
    (folder / "TREx" / "P7.jsonl").write_text("{}\n", encoding="utf-8")
    lines = (folder / "relations.jsonl").read_text(encoding="utf-8")
    more = '{"relation": "P8", "template": "[X] is in [Y] .", "label": "made up"}\n'
    (folder / "relations.jsonl").write_text(lines + more, encoding="utf-8")
    with pytest.raises(ManyUserError, match=r"(?s)has no files for P8, .*has files for P7, not"):
        load_task("lama/trex", data=data)


def test_a_blank_object_is_not_a_candidate(data: Path, write: Callable[..., None]) -> None:
    facts = [{"sub_label": "Oz", "obj_label": " "}, {"sub_label": "Lilliput", "obj_label": "Mildendo"}]
    write(data / "LAMA" / "TREx" / "P36.jsonl", facts)
    (item,) = load_task("lama/trex:relations=P36", data=data).items
    assert item.choices == ("Mildendo",)
