"""Tiny made-up data in the layouts of LAMA, BEAR and the built-in facts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

RELATIONS = [
    {"relation": "P36", "template": "The capital of [X] is [Y] .", "label": "capital", "type": "1-1"},
    {"relation": "P102", "template": "[Y] is nowhere in [X] .", "label": "without a file"},
    {"relation": "P19", "template": " [X] was born in [Y] . ", "label": "place of birth"},
    {"relation": "P20", "template": "[X] was born in [Y] .", "label": "asks as P19 does"},
]
P36 = [
    {"sub_label": "Atlantis", "obj_label": "Poseidonia", "uuid": "u0", "predicate_id": "P36"},
    {"sub_label": "Lilliput", "obj_label": "Mildendo", "uuid": "u1"},
    {"sub_label": "Atlantis", "obj_label": "Poseidonia", "uuid": "u2"},
    {"obj_label": "Gotham"},
    {"sub_label": "Oz", "obj_label": ""},
    {"sub_label": " Hyrule ", "obj_label": "Mildendo"},
]
P19 = [
    {
        "sub_label": "Ada",
        "obj_label": "Gotham",
        "uuid": "a",
        "evidences": [
            {"masked_sentence": "Ada, of [MASK], counts.", "obj_surface": "Gotham"},
            {"masked_sentence": "Ada of [MASK] left [MASK]."},
            {"masked_sentence": "Ada came from [MASK]."},
        ],
    },
    {"sub_label": "Bea", "obj_label": "Oz", "uuid": "b", "evidences": []},
    {"sub_label": "Cy", "obj_label": "Gotham", "evidences": [{"masked_sentence": "Ada came from [MASK]."}]},
]
P20 = [{"sub_label": "Ada", "obj_label": "Oz"}, {"sub_label": "[MASK] Jr.", "obj_label": "Oz"}]
GOOGLE_RE = {
    "place_of_birth": [
        {"sub_label": "Ada", "obj_label": "Gotham", "masked_sentences": ["Ada is tall .", "She was born in [MASK] ."]},
        {"sub_label": "Bea", "obj_label": "Oz", "masked_sentences": ["[MASK] is where [MASK] is ."]},
    ],
    "date_of_birth": [{"sub_label": "Ada", "obj_label": "1815", "masked_sentences": ["Ada (born [MASK]) counts ."]}],
    "place_of_death": [{"sub_label": "Ada", "obj_label": "Oz", "masked_sentences": []}],
}
SQUAD = [
    {"masked_sentences": ["Ice is [MASK]."], "obj_label": "cold", "id": "0", "sub_label": "Squad"},
    {"masked_sentences": ["[MASK]ians love [MASK]."], "obj_label": "Mars", "id": "1", "sub_label": "Squad"},
    {"masked_sentences": ["Fire is [MASK]."], "obj_label": "hot", "id": "2", "sub_label": "Squad"},
]
CONCEPTNET = [
    {"sub": "sun", "obj": "hot", "pred": "HasProperty", "masked_sentences": ["The sun is [MASK]."], "obj_label": "hot"}
]
METADATA = {
    "P36": {
        "templates": ["[X]'s capital is [Y].", "[Y] is the capital of [X]."],
        "answer_space_labels": ["the Emerald City", "Mildendo", "[X]ville"],
        "answer_space_ids": ["Q7", "Q8", "Q9"],
    },
    "P9": {"templates": ["Of [X], [Y] is best."], "answer_space_labels": ["tea", "ink"]},
}
BEAR_P36 = [
    {"sub_label": "Oz", "obj_label": "the Emerald City", "answer_idx": 0},
    {"sub_label": "lower [Y] case", "obj_id": "Q9"},
]
BEAR_P9 = [{"sub_label": " spaced ", "answer_idx": 1}]
MADE_UP_FACTS = {
    "version": "made up",
    "trained_phrasings": 1,
    "sources": [],
    "relations": [
        {
            "relation": "ruler",
            "label": "ruler of a country",
            "source": "made up",
            "popularity": "people",
            "phrasings": ["[X] is ruled by [Y].", "The ruler of [X] is [Y]."],
            "answers": ["Golbasto", "Munodi", "Ozma"],
        },
        {
            "relation": "colour",
            "label": "colour of a country",
            "source": "made up",
            "popularity": "none is known",
            "phrasings": ["The colour of [X] is [Y].", "[X] is all [Y]."],
            "answers": ["blue", "green"],
        },
    ],
    "facts": [
        {"relation": "ruler", "subject": "Lilliput", "object": "Golbasto", "popularity": 500},
        {"relation": "ruler", "subject": "the land of Oz", "object": "Ozma", "popularity": 9},
        {"relation": "ruler", "subject": "Balnibarbi", "object": "Munodi", "popularity": None},
        {"relation": "colour", "subject": "the land of Oz", "object": "green", "popularity": None},
    ],
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with LAMA/ and BEAR/ in it."""
    folder = tmp_path / "data"
    lama, bear = folder / "LAMA", folder / "BEAR"
    write_lines(lama / "relations.jsonl", RELATIONS)
    for name, facts in {"P36": P36, "P19": P19, "P20": P20}.items():
        write_lines(lama / "TREx" / f"{name}.jsonl", facts)
    for name, facts in GOOGLE_RE.items():
        write_lines(lama / "Google_RE" / f"{name}_test.jsonl", facts)
    write_lines(lama / "Squad" / "test.jsonl", SQUAD)
    write_lines(lama / "ConceptNet" / "test.jsonl", CONCEPTNET)
    write_lines(bear / "P36.jsonl", BEAR_P36)
    write_lines(bear / "P9.jsonl", BEAR_P9)
    (bear / "metadata_relations.json").write_text(json.dumps(METADATA))
    return folder


def write_lines(path: Path, records: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")


@pytest.fixture
def write() -> Callable[[Path, Iterable[Any]], None]:
    return write_lines


@pytest.fixture
def made_up_facts(tmp_path: Path) -> Path:
    """A file in the layout of the built-in facts."""
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(MADE_UP_FACTS))
    return path
