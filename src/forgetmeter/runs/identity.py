"""Differences between the identities of two studies.

A run can gain recipes, candidates and tasks, and nothing else may differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from forgetmeter.basics.plural import listed

_LONGEST = 60
_MOST = 3
_NOTHING = "nothing"
_GROWING = ("recipes", "candidates", "tasks")
"""Lists, and those of each model, to which a run can add."""
_RECORDS = ("methods", "sources", "imported", "groups")
"""What is recorded about methods, models, variants and groups of tasks by name, which grows with the run."""
_CALIBRATION = "calibration"
"""The texts of methods that need them; a run that gains such a method gains them."""
_DIGEST = "sha256"
_VERSION, _STARTED = "schema_version", "started_in_schema"
_DIGESTED = 3
"""The first schema version all of whose files have a digest of their content."""
NOISE_FLOOR = "noise_floor"
"""Whether the baselines are scored twice; missing if they never were to be."""
SHARED = "shared_questions"
"""Pairs of tasks that share many questions."""
_QUESTIONS = {"items_hash": "other items", "judging": "another definition"}
"""What of a task a cell's answers depend on, and what messages call another one."""
_CONTENT = "model_content"
"""Hashes by model."""


def has_calibration(study: Mapping[str, Any]) -> bool:
    """Whether a study has methods that need calibration text."""
    return _CALIBRATION in study["identity"].get("evaluation", {})


def is_calibrated_alike(study: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether a cell's answers may belong to a run, by their calibration text; those of earlier versions do not say.

    Args:
        study: The content of ``study.json``.
        facts: The facts stored with the answers.
    """
    used, own = facts.get(_CALIBRATION), study.get("identity", {}).get("evaluation", {}).get(_CALIBRATION)
    if not isinstance(used, Mapping) or not isinstance(own, Mapping):
        return used is None
    settings = {key: value for key, value in own.items() if key in used and key != _DIGEST}
    return used.get(_DIGEST) in (own.get(_DIGEST) or {}).values() and settings.items() <= used.items()


def other_questions(facts: Mapping[str, Any], items: Mapping[str, Any]) -> str | None:
    """Return what a task has otherwise than when a cell was answered; ``None`` if nothing. Earlier versions do not say.

    Args:
        facts: The facts stored with the answers.
        items: Those stored with the task's items.
    """
    noted = {key: (facts.get(key), items.get(key)) for key in _QUESTIONS}
    return next((_QUESTIONS[key] for key, both in noted.items() if None not in both and both[0] != both[1]), None)


def differences(stored: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """Return one phrase per difference between two identities, with the key, the stored and the new value.

    Additional recipes, candidates and tasks, or another order, do not count as differences.

    Args:
        stored: The identity in ``study.json``.
        requested: The identity of the study to run, as written to JSON.
    """
    return _differences(_as_json(stored), _as_json(requested), prefix="")


def additions(stored: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """Return one phrase each with the recipes, candidates and tasks that a study adds to a run, if it adds any."""
    added = {key: [value for value in _flat(requested, key) if value not in _flat(stored, key)] for key in _GROWING}
    return [f"{key} {_listed([value for _, value in values])}" for key, values in added.items() if values]


def extended(stored: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``study.json`` for a run that gains cells; what was recorded at its start stays.

    Args:
        stored: The content for the run so far.
        new: The content for a run of the extended study.
    """
    grown = {key: new[key] for key in (_VERSION, NOISE_FLOOR, "identity", "variants") if key in new}
    if stored.get(_VERSION) != new.get(_VERSION):
        grown = {_STARTED: stored.get(_VERSION), **grown, **{key: stored[key] for key in (_STARTED,) if key in stored}}
    records = {key: {**new.get(key, {}), **stored.get(key, {})} for key in _RECORDS}
    if shared := [*stored.get(SHARED, ()), *new.get(SHARED, ())]:
        grown[SHARED] = shared
    return {**stored, **grown, **{key: record for key, record in records.items() if record}}


def has_digest(study: Mapping[str, Any]) -> bool:
    """Return whether ``study.json`` itself was written with a digest: no earlier version wrote it last."""
    return _is_digested(study.get(_VERSION))


def has_digests(study: Mapping[str, Any]) -> bool:
    """Return whether all files of a run were written with a digest: no earlier version started it."""
    return _is_digested(study.get(_STARTED, study.get(_VERSION)))


def _is_digested(version: object) -> bool:
    return isinstance(version, int) and version >= _DIGESTED


def _differences(stored: Mapping[str, Any], requested: Mapping[str, Any], *, prefix: str) -> list[str]:
    found: list[str] = []
    for key in sorted(stored.keys() | requested.keys()):
        old, new, name = stored.get(key), requested.get(key), f"{prefix}{key}"
        if old == new or (key == _CALIBRATION and old is None):
            continue
        if key == _CONTENT and isinstance(old, Mapping) and isinstance(new, Mapping):
            # Other models are a difference of their own.
            changed = [model for model in old if model in new and old[model] != new[model]]
            found += [
                f"content of '{model}': {_short(old[model])} in the run, {_short(new[model])} now" for model in changed
            ]
        elif key in _GROWING:
            found += _gone(name, stored, requested)
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _differences(old, new, prefix=f"{name}.")
        elif isinstance(old, list) and isinstance(new, list):
            found.append(_lists(name, old, new))
        else:
            found.append(f"{name}: {_short(old)} in the run, {_short(new)} now")
    return found


def _flat(identity: Mapping[str, Any], key: str) -> list[tuple[str, str]]:
    """Return the values of a list of texts, or of one for each model, with the model."""
    lists = identity.get(key) or {}
    by_model = lists.items() if isinstance(lists, Mapping) else [("", lists)]
    return [(model, value) for model, values in by_model for value in values]


def _gone(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    there = _flat(new, key)
    gone = [value for model, value in _flat(old, key) if (model, value) not in there]
    return [f"{key} lack {_listed(gone)}"] if gone else []


def _lists(name: str, old: Sequence[object], new: Sequence[object]) -> str:
    gone = [value for value in old if value not in new]
    added = [value for value in new if value not in old]
    if not gone and not added:
        return f"{name} in another order: {_listed(old)} in the run, {_listed(new)} now"
    return f"{name}: {_listed(gone)} in the run, {_listed(added)} now"


def _listed(values: Sequence[object]) -> str:
    return listed([_short(value) for value in values], _MOST) or _NOTHING


def _short(value: object) -> str:
    text = f"'{value}'" if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _as_json(document: Mapping[str, Any]) -> dict[str, Any]:
    # A round trip through JSON turns tuples into lists, as in the stored identity.
    read: dict[str, Any] = json.loads(json.dumps(document))
    return read
