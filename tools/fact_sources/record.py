"""The facts file as text, and the differences between two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fact_sources.packages import PACKAGES
from fact_sources.phrasings import PHRASINGS, TRAINED
from fact_sources.relations import RELATIONS
from fact_sources.rules import accepted, folded

VERSION = "1"


def made() -> dict[str, Any]:
    """Return the content of the facts file, made from the installed packages."""
    facts = {relation.id: accepted(relation) for relation in RELATIONS}
    return {
        "version": VERSION,
        "trained_phrasings": TRAINED,
        "sources": [
            {
                "package": package.name,
                "version": package.installed,
                "licence": package.licence,
                "url": package.url,
                "taken": package.taken,
            }
            for package in PACKAGES
        ],
        "relations": [
            {
                "relation": relation.id,
                "label": relation.label,
                "source": relation.source,
                "popularity": relation.popularity,
                "phrasings": list(PHRASINGS[relation.id]),
                "answers": sorted({fact.object for fact in facts[relation.id]}, key=lambda each: (folded(each), each)),
            }
            for relation in RELATIONS
        ],
        "facts": [
            {"relation": name, "subject": fact.subject, "object": fact.object, "popularity": fact.popularity}
            for name, found in facts.items()
            for fact in found
        ],
    }


def as_text(content: dict[str, Any]) -> str:
    """Return the content of the facts file as text: one line per source, phrasing or fact."""
    lines = []
    for key, value in content.items():
        if not isinstance(value, list):
            lines.append(f"{_json(key)}: {_json(value)}")
        elif key == "relations":
            lines.append(f"{_json(key)}: [\n" + ",\n".join(map(_relation, value)) + "\n]")
        else:
            lines.append(f"{_json(key)}: [\n" + ",\n".join(map(_json, value)) + "\n]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def differences(recorded: dict[str, Any], content: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each difference in newly generated content, facts relation by relation."""
    was, now = ({each["package"]: each["version"] for each in one["sources"]} for one in (recorded, content))
    for package in sorted(was | now):
        if was.get(package) != now.get(package):
            yield f"{package} {now.get(package, 'not used')} is installed, recorded is {was.get(package, 'none')}"
    old, new = (_by_relation(one) for one in (recorded, content))
    for name in dict.fromkeys((*new, *old)):
        yield from _of_relation(name, old.get(name, {}), new.get(name, {}))
    yield from _of_wording(recorded, content)
    if as_text(recorded) != as_text(content) and was == now and old == new:
        yield "what is said of sources and relations, or the order of facts, has changed"


def _of_wording(recorded: dict[str, Any], content: dict[str, Any]) -> Iterator[str]:
    old, new = ({each["relation"]: each for each in one["relations"]} for one in (recorded, content))
    for name in (each for each in new if each in old):
        for key, value in new[name].items():
            before = old[name].get(key)
            if before == value or key == "answers":
                continue
            pairs = zip(before, value, strict=False) if isinstance(value, list) and before else [(before, value)]
            for was, now in pairs:
                if was != now:
                    yield f"{name}: {key} is now '{now}', was '{was}'"


def _of_relation(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    added = [subject for subject in new if subject not in old]
    removed = [subject for subject in old if subject not in new]
    changed = [subject for subject in new if subject in old and new[subject][0] != old[subject][0]]
    counted = [subject for subject in new if subject in old and new[subject][1] != old[subject][1]]
    if added or removed or changed or counted:
        moved = f"{len(added)} added, {len(removed)} removed, {len(changed)} changed"
        yield f"{name}: {moved}, popularity of {len(counted)} changed"
    yield from (f"  + {subject} → {new[subject][0]}" for subject in added)
    yield from (f"  - {subject} → {old[subject][0]}" for subject in removed)
    yield from (f"  ~ {subject} → {new[subject][0]}, was {old[subject][0]}" for subject in changed)


def _by_relation(content: dict[str, Any]) -> dict[str, dict[str, tuple[str, int | None]]]:
    found: dict[str, dict[str, tuple[str, int | None]]] = {}
    for fact in content["facts"]:
        found.setdefault(fact["relation"], {})[fact["subject"]] = fact["object"], fact["popularity"]
    return found


def _relation(relation: dict[str, Any]) -> str:
    fields = []
    for key, value in relation.items():
        if key == "phrasings":
            fields.append(f"  {_json(key)}: [\n    " + ",\n    ".join(map(_json, value)) + "\n  ]")
        else:
            fields.append(f"  {_json(key)}: {_json(value)}")
    return " {\n" + ",\n".join(fields) + "\n }"


def _json(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False)
