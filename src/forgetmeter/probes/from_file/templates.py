"""The YAML file next to a file of facts: templates, and candidates where they are not the relation's objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from forgetmeter.errors import UserError, refuse, refusing_unreadable
from forgetmeter.probes.by_relation import missing_templates
from forgetmeter.probes.cloze import ANSWER, SUBJECT
from forgetmeter.specs.suggestion import unknown
from forgetmeter.specs.task_name import TaskName
from forgetmeter.specs.yaml_lines import YamlWithLines, read_yaml

SUFFIX = ".yaml"
_TEMPLATES, _CANDIDATES = _KEYS = ("templates", "candidates")
_EXAMPLE = 'templates: {capital: ["The capital of [X] is [Y]."]}'


@dataclass(frozen=True)
class TemplateFile:
    """A file of templates.

    Attributes:
        path: The file.
        templates: Templates of each relation by 0-based number; each contains ``[X]``, and ``[Y]`` once.
        candidates: The answers that compete in a relation, where they are listed.
    """

    path: Path
    templates: Mapping[str, Mapping[int, str]]
    candidates: Mapping[str, tuple[str, ...]]

    def selected(self, name: TaskName, *, must_precede: bool) -> TemplateFile:
        """Return the file with the templates that a task selects.

        Args:
            name: The task.
            must_precede: Whether the subject must come before the blank.

        Raises:
            UserError: A template is missing, or has its subject after the blank.
        """
        refuse(missing_templates(name, self.templates))
        numbers = name.listed("templates")
        chosen = {
            relation: {number: text for number, text in each.items() if numbers is None or str(number) in numbers}
            for relation, each in self.templates.items()
        }
        if must_precede:
            refuse(
                f"'{self.path}': template '{text}' of {relation} has {SUBJECT} after {ANSWER}, so a decoder would "
                "not have read the subject before the answer; omit ranking=answers, or reword it"
                for relation, each in chosen.items()
                for text in each.values()
                if SUBJECT not in text.partition(ANSWER)[0]
            )
        return replace(self, templates=chosen)


def read_template_file(path: Path) -> TemplateFile:
    """Read a file of templates.

    Raises:
        UserError: It does not exist, or is not valid; each problem is reported with its line.
    """
    with refusing_unreadable(f"'{path}'"):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise UserError(
                f"facts need templates, but '{path}' does not exist; create it, e.g. with {_EXAMPLE}"
            ) from None
    document = read_yaml(text, str(path))
    if not isinstance(document.data, dict):
        raise UserError(f"{path}:1: must be a mapping with {' and '.join(_KEYS)}, such as {_EXAMPLE}")
    refuse(f"{path}:{document.line((key,))}: {unknown('key', key, _KEYS)}" for key in document.data if key not in _KEYS)
    templates = _texts_of(_TEMPLATES, document, path)
    if not templates:
        raise UserError(f"'{path}' has no templates; write {_EXAMPLE}")
    candidates = _texts_of(_CANDIDATES, document, path)
    refuse(_problems(templates, candidates, document, path))
    return TemplateFile(path, {key: dict(enumerate(texts)) for key, texts in templates.items()}, candidates)


def _texts_of(key: str, document: YamlWithLines, path: Path) -> dict[str, tuple[str, ...]]:
    given = document.data.get(key)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise UserError(f"{path}:{document.line((key,))}: {key} must map each relation to a list of texts")
    found = {}
    for relation, listed in given.items():
        texts = [listed] if isinstance(listed, str) and key == _TEMPLATES else listed
        where = f"{path}:{document.line((key, str(relation)))}"
        if not isinstance(relation, str):
            raise UserError(f"{where}: relation {relation!r} is not text; put it in quotes")
        if not isinstance(texts, list) or not texts:
            raise UserError(f"{where}: {key} of '{relation}' must be a list of texts")
        if (wrong := next((each for each in texts if not isinstance(each, str) or not each.strip()), None)) is not None:
            raise UserError(f"{where}: {key} of '{relation}': {wrong!r} is not text; put it in quotes")
        found[relation] = tuple(texts)
    return found


def _problems(
    templates: Mapping[str, tuple[str, ...]],
    candidates: Mapping[str, tuple[str, ...]],
    document: YamlWithLines,
    path: Path,
) -> list[str]:
    problems = []
    for relation, texts in templates.items():
        for index, text in enumerate(texts):
            if text.count(ANSWER) != 1 or SUBJECT not in text:
                line = document.line((_TEMPLATES, relation, index))
                needed = f"{SUBJECT} for the subject, and {ANSWER} once for the object"
                problems.append(f"{path}:{line}: template '{text}' of '{relation}' must contain {needed}")
    for relation, answers in candidates.items():
        where = f"{path}:{document.line((_CANDIDATES, relation))}"
        if relation not in templates:
            problems.append(f"{where}: {unknown('relation', relation, templates, within=_TEMPLATES)}")
        twice = next((answer for answer in answers if answers.count(answer) > 1), None)
        if twice is not None:
            problems.append(f"{where}: candidates of '{relation}': '{twice}' is a duplicate")
        if len(answers) < 2:
            problems.append(f"{where}: candidates of '{relation}': at least two are needed")
    return problems
