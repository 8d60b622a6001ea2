"""Checks whether a run's parquet files are intact, and which cell or task they belong to."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from forgetmeter.runs import layout
from forgetmeter.runs.agreement import Names, is_at, is_named
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.runs.identity import has_digests, is_calibrated_alike, other_questions
from forgetmeter.runs.record_json import carries_digest
from forgetmeter.runs.tables.items_table import ITEMS_SCHEMA, stored_ids
from forgetmeter.runs.tables.metadata import UNREADABLE, is_unchanged, read_facts
from forgetmeter.runs.tables.outcomes_table import METRIC, OUTCOMES_SCHEMA
from forgetmeter.specs.recipe import canonical

CELL = ("variant", "model", "recipe", "task")


class IntactFiles:
    """Reads the facts of a run's parquet files, if they are intact and agree with their place.

    Args:
        folder: The run's files.
        study: Returns the content of ``study.json``; empty if it is missing.
    """

    def __init__(self, folder: RunFolder, study: Callable[[], Mapping[str, Any]]) -> None:
        self._folder = folder
        self._study = study
        # Of items files by path and hash: each variant's outcomes are compared with them.
        self._ids: dict[tuple[str, str], Any] = {}

    def outcomes_facts(self, path: str, names: Names) -> dict[str, Any] | None:
        """Return the facts of a cell's outcomes; ``None`` if they are missing, damaged, edited, or not that cell's."""
        try:
            content = self._folder.read(path)
        except FileNotFoundError:
            return None
        facts = _named(read_facts(io.BytesIO(content), OUTCOMES_SCHEMA), CELL)
        unchanged = None if facts is None else is_unchanged(content)
        if facts is None or not self._is_accepted(unchanged):
            return None
        facts["recipe"] = canonical(facts["recipe"])
        variant, model, recipe, task = (facts[key] for key in CELL)
        is_its = (
            is_at(path, layout.outcomes_path, variant, task)
            and is_named(names, variant, model, recipe)
            and is_calibrated_alike(self._study(), facts)
        )
        return facts if is_its and self._are_of_items(content, facts, is_digested=unchanged is True) else None

    def items_facts(self, path: str) -> dict[str, Any] | None:
        """Return the facts of a task's items; ``None`` if they are missing, damaged, edited, or not that task's."""
        try:
            with self._folder.open(path) as stream:
                facts = _named(read_facts(stream, ITEMS_SCHEMA), ("items_hash", "name"))
        except FileNotFoundError:
            return None
        if facts is None or not is_at(path, layout.items_path, facts["name"]):
            return None
        if (path, facts["items_hash"]) not in self._ids:
            with suppress(*UNREADABLE):
                content = self._folder.read(path)
                if not self._is_accepted(is_unchanged(content)):
                    return None
                ids, found = stored_ids(content)
                if found != facts["items_hash"]:
                    return None
                self._ids[path, found] = ids
        return facts

    def _is_accepted(self, unchanged: bool | None) -> bool:
        """Return whether a file shows no sign of editing; one without its digest may have been edited."""
        return not has_digests(self._study()) if unchanged is None else unchanged

    def _are_of_items(self, content: bytes, facts: Mapping[str, Any], *, is_digested: bool) -> bool:
        """Return whether each outcome is of a different one of the task's items, if these are stored."""
        items_path = layout.items_path(facts["task"])
        stored = self.items_facts(items_path)
        if stored is not None and other_questions(facts, stored):
            return False
        known = None if stored is None else self._ids.get((items_path, stored["items_hash"]))
        with suppress(*UNREADABLE):
            ids = pq.read_table(io.BytesIO(content), columns=["item_id"])["item_id"].combine_chunks()
            is_judged = stored is None or is_digested or _are_judged_by(content, stored.get("primary_metric"))
            return _are_distinct(ids, known) and is_judged
        # Reading the outcomes raises the error that names the damage.
        return True


def first_digested(folder: RunFolder, paths: Iterable[str]) -> str | None:
    """Return the first of these files of a run that has a digest; ``None`` if none has."""
    return next((path for path in paths if has_digest(path, folder.read(path))), None)


def has_digest(path: str, content: bytes) -> bool:
    """Return whether one of a run's files has a digest, right or wrong; false if it is damaged."""
    if not layout.is_table(path):
        return carries_digest(content)
    with suppress(*UNREADABLE):
        return is_unchanged(content) is not None
    return False


def _named(facts: dict[str, Any] | None, texts: Sequence[str]) -> dict[str, Any] | None:
    """Return the facts if they have these texts, which say what a file is of."""
    return facts if facts is not None and all(isinstance(facts.get(key), str) for key in texts) else None


def _are_judged_by(content: bytes, primary: object) -> bool:
    """Return whether what is right agrees with the task's primary metric, in a file without a digest."""
    metric = f"{METRIC}{primary}"
    # Leaves out a column that is not there.
    outcomes = pq.ParquetFile(io.BytesIO(content)).read(columns=["correct", "prediction", metric])
    if metric not in outcomes.column_names:
        return True
    value, is_right = outcomes[metric], outcomes["correct"]
    # An answer that is not a number is wrong, whatever a plug-in's metric says, and has no prediction.
    has_answer = pc.not_equal(outcomes["prediction"], "")
    wrongly_right = pc.and_(is_right, pc.equal(value, 0.0))
    wrongly_wrong = pc.and_(pc.and_(pc.invert(is_right), has_answer), pc.equal(value, 1.0))
    return not pc.any(pc.or_(wrongly_right, wrongly_wrong)).as_py()


def _are_distinct(ids: Any, among: Any | None) -> bool:  # noqa: ANN401 - of arrow
    if among is not None and ids.equals(among):
        return True
    are_known = among is None or pc.all(pc.is_in(ids, value_set=among), min_count=0).as_py()
    return bool(are_known and pc.count_distinct(ids).as_py() == len(ids))
