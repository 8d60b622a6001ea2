"""The relations of LAMA's data sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.probes.data.archive import ProbeArchive
from forgetmeter.probes.json_lines import JsonLine, read_json_lines
from forgetmeter.specs.suggestion import unknown
from forgetmeter.specs.task_name import TaskName

_ADDRESS = "https://dl.fbaipublicfiles.com/LAMA/data.zip"
LAMA = ProbeArchive(
    name="lama",
    folder="LAMA",
    address=_ADDRESS,
    source=f"{_ADDRESS} (see github.com/facebookresearch/LAMA)",
    holds="relations.jsonl, TREx/, Google_RE/, Squad/ and ConceptNet/",
    marker="relations.jsonl",
    wanted=re.compile(r"relations\.jsonl|(TREx|Google_RE|Squad|ConceptNet)/[\w.-]+\.jsonl"),
    tasks={
        "lama/trex": "TREx",
        "lama/google_re": "Google_RE",
        "lama/squad": "Squad",
        "lama/conceptnet": "ConceptNet",
    },
    terms="CC-BY-NC 4.0; cite Petroni et al. 2019, Language Models as Knowledge Bases?",
)

BLANK = "[MASK]"
SUBJECT, OBJECT = "[X]", "[Y]"

AskedBy = Literal["template", "evidences", "masked_sentences"]

# From LAMA's scripts/run_experiments.py (get_GoogleRE_parameters); its data has no file for them.
_GOOGLE_RE = {
    "place_of_birth": "[X] was born in [Y] .",
    "date_of_birth": "[X] (born [Y]).",
    "place_of_death": "[X] died in [Y] .",
}


@dataclass(frozen=True)
class LamaRelation:
    """A relation of LAMA.

    Attributes:
        name: Name in ``relations=``.
        label: What it means, in words.
        path: The file with its facts.
        asked_by: Source of the sentences: the relation's template, or a key of each fact.
        template: The template, with ``[X]`` for the subject and ``[MASK]`` for the blank; empty without one.
        subject_keys: Keys that may hold a fact's subject; the first one present is used.
    """

    name: str
    label: str
    path: Path
    asked_by: AskedBy
    template: str = ""
    subject_keys: tuple[str, ...] = ("sub_label",)

    @property
    def prompt(self) -> str:
        """Template or source of its sentences, for display."""
        if self.asked_by == "template":
            return self.template.replace(BLANK, OBJECT)
        return "evidence" if self.asked_by == "evidences" else "masked sentences"


# Listed in the official relations.jsonl without a file in the official data; LAMA's scripts leave them out.
_WITHOUT_FILE = ("P166", "P69", "P54", "P1923", "P102")


def lama_relations(name: TaskName, folder: Path) -> tuple[LamaRelation, ...]:
    """Return the relations that a LAMA task selects, in official order, without reading facts.

    Raises:
        ManyUserError: Relations are unknown, or files are missing; one line each.
        UserError: ``relations.jsonl`` cannot be read.
    """
    if name.base == "lama/trex":
        return _trex(name, folder)
    if name.base == "lama/google_re":
        return _google_re(name, folder)
    keys = ("sub_label",) if name.base == "lama/squad" else ("sub_label", "sub")
    base, inside = ("squad", "Squad") if name.base == "lama/squad" else ("conceptnet", "ConceptNet")
    path = folder / inside / "test.jsonl"
    _check_there([path])
    return (LamaRelation(base, inside, path, "masked_sentences", subject_keys=keys),)


def _trex(name: TaskName, folder: Path) -> tuple[LamaRelation, ...]:
    inside = folder / "TREx"
    if not inside.is_dir():
        raise UserError(f"'{inside}' does not exist; {LAMA.fetch_again}")
    listed = _listed_relations(folder / "relations.jsonl", inside)
    found = {key: relation for key, relation in listed.items() if relation.path.is_file()}
    if not found:
        raise UserError(f"'{inside}' has no file for any relation in relations.jsonl; {LAMA.fetch_again}")
    fileless = [each for each in name.listed("relations") or () if each in listed and each not in found]
    if name.listed("relations") is None:
        _check_complete(inside, listed)
    if fileless:
        paths = ", ".join(f"'{listed[each].path}'" for each in fileless)
        raise UserError(f"files of {', '.join(fileless)} do not exist: {paths}; choose other relations")
    relations = _selected(name, found)
    if name.value("source") == "evidence":
        return tuple(replace(relation, asked_by="evidences", template="") for relation in relations)
    return relations


def _check_complete(inside: Path, listed: Mapping[str, LamaRelation]) -> None:
    """Check that every listed relation has a file, and every file a listed relation."""
    missing = [key for key, each in listed.items() if key not in _WITHOUT_FILE and not each.path.is_file()]
    strange = sorted(path.stem for path in inside.glob("*.jsonl") if path.stem not in listed)
    fix = f"{LAMA.fetch_again}, or select available relations with relations=A+B"
    problems = [
        f"'{inside}' has no files for {', '.join(missing)}, listed in relations.jsonl; {fix}",
        f"'{inside}' has files for {', '.join(strange)}, not listed in relations.jsonl; {fix}",
    ]
    found = [problem for problem, names in zip(problems, (missing, strange), strict=True) if names]
    if found:
        raise ManyUserError(found)


def _listed_relations(path: Path, inside: Path) -> dict[str, LamaRelation]:
    relations: dict[str, LamaRelation] = {}
    for line in read_json_lines(path, fix=LAMA.fetch_again):
        name = line.text("relation")
        if name in relations:
            raise line.wrong(f"duplicate relation {name}")
        template = _blanked(line)
        relations[name] = LamaRelation(
            name, line.optional_text("label"), inside / f"{name}.jsonl", "template", template
        )
    return relations


def _blanked(line: JsonLine) -> str:
    template = line.text("template").strip()
    if template.count(OBJECT) != 1 or SUBJECT not in template:
        raise line.wrong(f"template '{template}' must contain {SUBJECT}, and {OBJECT} once")
    return template.replace(OBJECT, BLANK)


def _google_re(name: TaskName, folder: Path) -> tuple[LamaRelation, ...]:
    by_template = name.value("source") == "template"
    relations = {
        key: LamaRelation(
            key,
            key.replace("_", " "),
            folder / "Google_RE" / f"{key}_test.jsonl",
            "template" if by_template else "masked_sentences",
            template.replace(OBJECT, BLANK) if by_template else "",
        )
        for key, template in _GOOGLE_RE.items()
    }
    selected = _selected(name, relations)
    _check_there([relation.path for relation in selected])
    return selected


def _selected(name: TaskName, relations: Mapping[str, LamaRelation]) -> tuple[LamaRelation, ...]:
    wanted = name.listed("relations")
    if wanted is None:
        return tuple(relations.values())
    problems = [
        unknown("relation", each, relations, within=f"task '{name.base}'", most=50)
        for each in wanted
        if each not in relations
    ]
    if problems:
        raise ManyUserError(problems)
    return tuple(relation for key, relation in relations.items() if key in wanted)


def _check_there(paths: list[Path]) -> None:
    missing = [f"'{path}' does not exist; {LAMA.fetch_again}" for path in paths if not path.is_file()]
    if missing:
        raise ManyUserError(missing)
