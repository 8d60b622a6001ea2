"""A run's parquet files that are intact, and what they say they are: a cell's outcomes, or a task's items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forgetmeter.runs import layout
from forgetmeter.runs.agreement import Names, is_at, is_named
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.runs.items_table import ITEMS_SCHEMA, stored_ids
from forgetmeter.runs.metadata import UNREADABLE, read_facts
from forgetmeter.runs.outcomes_table import OUTCOMES_SCHEMA
from forgetmeter.specs.recipe import canonical

CELL = ("variant", "model", "recipe", "task")


class IntactFiles:
    """Reads the facts of a run's parquet files, if they are intact and agree with their place."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        # Of items files by path and hash: each variant's outcomes are compared with them.
        self._ids: dict[tuple[str, str], Any] = {}

    def outcomes_facts(self, path: str, names: Names) -> dict[str, Any] | None:
        """Return the facts of a cell's outcomes; ``None`` if they are missing, damaged, or not that cell's."""
        facts = self._facts(path, OUTCOMES_SCHEMA, CELL)
        if facts is None:
            return None
        facts["recipe"] = canonical(facts["recipe"])
        variant, model, recipe, task = (facts[key] for key in CELL)
        is_its = is_at(path, layout.outcomes_path, variant, task) and is_named(names, variant, model, recipe)
        return facts if is_its and self._are_of_items(path, facts) else None

    def items_facts(self, path: str) -> dict[str, Any] | None:
        """Return the facts of a task's items; ``None`` if they are missing, damaged, or not that task's."""
        facts = self._facts(path, ITEMS_SCHEMA, ("items_hash", "name"))
        if facts is None or not is_at(path, layout.items_path, facts["name"]):
            return None
        if (path, facts["items_hash"]) not in self._ids:
            with suppress(*UNREADABLE):
                ids, found = stored_ids(self._folder.read(path))
                if found != facts["items_hash"]:
                    return None
                self._ids[path, found] = ids
        return facts

    def _are_of_items(self, path: str, facts: Mapping[str, Any]) -> bool:
        """Return whether each outcome is of a different one of the task's items, if these are stored."""
        items_path = layout.items_path(facts["task"])
        stored = self.items_facts(items_path)
        if stored is not None and (facts.get("items_hash") or stored["items_hash"]) != stored["items_hash"]:
            return False
        known = None if stored is None else self._ids.get((items_path, stored["items_hash"]))
        with suppress(*UNREADABLE), self._folder.open(path) as stream:
            ids = pq.read_table(stream, columns=["item_id"])["item_id"].combine_chunks()
            return _are_distinct(ids, known)
        # The error that names the damage comes with reading the outcomes.
        return True

    def _facts(self, path: str, columns: pa.Schema, texts: Sequence[str]) -> dict[str, Any] | None:
        """Return the facts in a parquet file's metadata; ``None`` if it is missing, damaged, or not a run's file."""
        try:
            with self._folder.open(path) as stream:
                facts = read_facts(stream, columns)
        except FileNotFoundError:
            return None
        return facts if facts is not None and all(isinstance(facts.get(key), str) for key in texts) else None


def _are_distinct(ids: Any, among: Any | None) -> bool:  # noqa: ANN401 - of arrow
    if among is not None and ids.equals(among):
        return True
    are_known = among is None or pc.all(pc.is_in(ids, value_set=among)).as_py()
    return bool(are_known and pc.count_distinct(ids).as_py() == len(ids))
