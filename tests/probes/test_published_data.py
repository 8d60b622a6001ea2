"""LAMA and BEAR as published, against independent counts.

Covers ``probes.lama.task`` and ``probes.bear``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forgetmeter.probes.lama.task import LamaTask
from forgetmeter.probes.loading import load_task

pytestmark = pytest.mark.data


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def test_every_relation_of_trex(published: Path) -> None:
    task = load_task("lama/trex", data=published)
    assert isinstance(task, LamaTask)
    folder = published / "LAMA" / "TREx"
    files = {path.stem: records(path) for path in folder.glob("*.jsonl")}
    assert len(files) == len(task.relations) == 41
    assert {each.relation: each.read for each in task.relations} == {name: len(rows) for name, rows in files.items()}
    asked: dict[str, list[tuple[str, str]]] = {}
    for item in task.items:
        asked.setdefault(item.fields["relation"], []).append((item.fields["subject"], item.fields["object"]))
        assert item.choices[item.gold[0]] == item.fields["object"]
        assert item.fields["subject"] in item.cloze.filled("___")
    for name, rows in files.items():
        assert asked[name] == list(dict.fromkeys((row["sub_label"], row["obj_label"]) for row in rows))
    first = {item.fields["relation"]: item for item in task.items}
    for name, rows in files.items():
        assert first[name].choices == tuple(dict.fromkeys(row["obj_label"] for row in rows))
    assert len({item.id for item in task.items}) == len(task.items) == 32_402
    sentences = [item.cloze.filled("[MASK]") for item in task.items]
    assert sum("duplicate" in item.fields for item in task.items) == len(sentences) - len(set(sentences))


def test_every_sentence_of_trex(published: Path) -> None:
    task = load_task("lama/trex:source=evidence", data=published)
    content = [path.read_bytes() for path in sorted((published / "LAMA" / "TREx").glob("*.jsonl"))]
    assert len(task.items) == sum(each.count(b'"masked_sentence":') for each in content) == 138_678
    without = sum(b'"masked_sentence":' not in line for each in content for line in each.splitlines())
    assert task.description.filters["no evidence"] == without
    assert task.description.official_size == len(task.items) + without


@pytest.mark.parametrize(
    ("name", "inside", "items"),
    [
        ("lama/squad", "Squad/test.jsonl", 302),
        ("lama/google_re:source=evidence", "Google_RE/*_test.jsonl", 5_200),
    ],
)
def test_every_masked_sentence(published: Path, name: str, inside: str, items: int) -> None:
    task = load_task(name, data=published)
    rows = [row for path in (published / "LAMA").glob(inside) for row in records(path)]
    with_one_blank = sum("".join(row["masked_sentences"]).count("[MASK]") == 1 for row in rows)
    assert len(task.items) == with_one_blank == items
    assert task.description.official_size == len(rows)


def test_google_re_by_template(published: Path) -> None:
    task = load_task("lama/google_re", data=published)
    facts = {
        (path.stem, row["sub_label"], row["obj_label"])
        for path in (published / "LAMA" / "Google_RE").glob("*.jsonl")
        for row in records(path)
    }
    assert len(task.items) == len(facts) == 5_527


def test_bear_asks_the_statements_of_lm_pub_quiz(published: Path) -> None:
    pytest.importorskip("lm_pub_quiz")
    from lm_pub_quiz import Dataset
    from lm_pub_quiz.evaluators.templating_util import Templater

    templater = Templater()
    items = iter(load_task("bear", data=published).items)
    number = 0
    for relation in Dataset.from_path(published / "BEAR"):
        answers = relation.answer_space.tolist()
        for fact, row in relation.instance_table.iterrows():
            for place, template in enumerate(relation.templates):
                item = next(items)
                number += 1
                assert item.id == f"bear/{relation.relation_code}/{fact}/{place}"
                assert item.gold == (row["answer_idx"],)
                assert len(item.choices) == len(answers)
                # All answers of some facts; the right answer and its neighbour of the others.
                shown = range(len(answers)) if fact < 5 else {item.gold[0], (item.gold[0] + 1) % len(answers)}
                for answer in shown:
                    statement, _ = templater.replace_placeholders(
                        template=template, subject=str(row["sub_label"]), answer=answers[answer]
                    )
                    assert item.cloze.filled(item.choices[answer]) == statement
    assert next(items, None) is None
    assert number == 23_193
