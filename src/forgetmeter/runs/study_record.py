"""The typed content of a run's ``study.json``: everything that other packages read from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, cast, get_args

from forgetmeter.records.imported import Origin
from forgetmeter.records.packed_source import PackedSource, WeightReading
from forgetmeter.records.task_group import GroupMetric, TaskGroup
from forgetmeter.runs.agreement import Names, names_of
from forgetmeter.runs.identity import NOISE_FLOOR, SHARED
from forgetmeter.runs.record_json import is_number
from forgetmeter.specs.method_facts import FOR_EARLIER_RUNS, Kind, MethodFacts, Methods
from forgetmeter.specs.recipe import candidate_recipe


@dataclass(frozen=True, eq=False)
class StudyRecord:
    """The content of a run's ``study.json``; records that are missing, damaged or of another version count as unknown.

    Attributes:
        document: The content as it is stored.
    """

    document: Mapping[str, Any]

    @property
    def models(self) -> tuple[str, ...]:
        """The baselines."""
        return tuple(self._identity.get("models") or ())

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes of every model."""
        return tuple(self._identity.get("recipes") or ())

    @property
    def candidates(self) -> Mapping[str, Sequence[str]]:
        """The candidates of each model, with their recipes."""
        return self._identity.get("candidates") or {}

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks."""
        return tuple(self._identity.get("tasks") or ())

    @property
    def model_content(self) -> Mapping[str, str]:
        """Hashes of the content of models and candidates by name."""
        return self._identity.get("model_content") or {}

    @property
    def variants(self) -> Names:
        """The listed variants."""
        return names_of(self.document)

    @property
    def settings(self) -> Mapping[str, Any]:
        """How the models were evaluated, and the version of the run's format."""
        others = {name: self.document[name] for name in ("device", "batch_tokens") if name in self.document}
        schema = self.document.get("schema_version")
        return {**(self._identity.get("evaluation") or {}), **others, "schema": schema}

    @property
    def has_noise_floor(self) -> bool:
        """Whether the baselines were to be scored twice; earlier versions did not record it."""
        return self.document.get(NOISE_FLOOR) is True

    @property
    def hardware(self) -> Mapping[str, Any]:
        """The machine that started the run."""
        return self.document.get("hardware") or {}

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of packages when the run was started."""
        return self.document.get("versions") or {}

    @cached_property
    def origins(self) -> Mapping[str, Origin]:
        """Where imported answers came from, by variant; empty if the run's answers were not imported."""
        return {name: _origin(said) for name, said in self._records("imported").items()}

    def is_asked(self, recipe: str, task: str) -> bool:
        """Return whether a variant was to answer a task, which imported candidates need not."""
        return recipe not in self._tasks_of_imported or task in self._tasks_of_imported[recipe]

    @cached_property
    def _tasks_of_imported(self) -> Mapping[str, Sequence[str]]:
        return {candidate_recipe(name): origin.tasks for name, origin in self.origins.items()}

    @cached_property
    def sources(self) -> Mapping[str, PackedSource]:
        """Both sizes of the models and candidates that are packed."""
        found = {name: _source(said) for name, said in self._records("sources").items()}
        return {name: source for name, source in found.items() if source is not None}

    @cached_property
    def groups(self) -> tuple[TaskGroup, ...]:
        """The groups of tasks that have an average."""
        found = (_group(name, said) for name, said in self._records("groups").items())
        return tuple(group for group in found if group is not None)

    def shares_questions(self, task: str, tasks: Iterable[str]) -> str | None:
        """Return the first of these tasks before this one that has many of its questions; ``None`` if there is none.

        Earlier versions did not record it.
        """
        pairs = [set(pair) for pair in self.document.get(SHARED) or () if isinstance(pair, list)]
        before = takewhile(lambda other: other != task, tasks)
        return next((other for other in before if {task, other} in pairs), None)

    @cached_property
    def methods(self) -> Methods:
        """The facts about the methods of the recipes and about built-in methods."""
        found = {name: _method(said) for name, said in self._records("methods").items()}
        unphrased = {
            name: replace(facts, phrase=FOR_EARLIER_RUNS[name].phrase)
            for name, facts in found.items()
            if name in FOR_EARLIER_RUNS and not facts.phrase
        }
        return {**FOR_EARLIER_RUNS, **found, **unphrased}

    @property
    def _identity(self) -> Mapping[str, Any]:
        return self.document.get("identity") or {}

    def _records(self, key: str) -> Mapping[str, Mapping[str, Any]]:
        stored = self.document.get(key)
        records = stored.items() if isinstance(stored, dict) else ()
        return {str(name): said for name, said in records if isinstance(said, dict)}


def _origin(said: Mapping[str, Any]) -> Origin:
    files, settings, notes, tasks = (said.get(key) for key in ("files", "settings", "notes", "tasks"))
    return Origin(
        str(said.get("tool")),
        files if isinstance(files, dict) else {},
        settings if isinstance(settings, dict) else {},
        tuple(map(str, notes)) if isinstance(notes, list) else (),
        # Earlier versions did not record them.
        tuple(map(str, tasks)) if isinstance(tasks, list) else (),
    )


def _source(said: Mapping[str, Any]) -> PackedSource | None:
    stored, dense = said.get("bytes"), said.get("dense_bytes")
    if not isinstance(stored, int) or not isinstance(dense, int):
        return None
    reading = next((each for each in get_args(WeightReading) if each == said.get("reading")), None)
    bits = said.get("bits")
    numbers = {str(role): each for role, each in bits.items() if is_number(each)} if isinstance(bits, dict) else {}
    return PackedSource(str(said.get("format")), stored, dense, reading, str(said.get("maker") or ""), numbers)


def _group(name: str, said: Mapping[str, Any]) -> TaskGroup | None:
    # Earlier versions did not record of which metric the average is.
    tasks, metrics = said.get("tasks"), said.get("metrics")
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks) or not isinstance(metrics, list):
        return None
    return TaskGroup(name, tuple(tasks), tuple(_group_metric(each) for each in metrics if isinstance(each, dict)))


def _group_metric(said: Mapping[str, Any]) -> GroupMetric:
    filters = said.get("filters")
    names = tuple(map(str, filters)) if isinstance(filters, list) else ()
    return GroupMetric(str(said.get("name")), names, said.get("is_by_size") is not False)


def _method(said: Mapping[str, Any]) -> MethodFacts:
    kind, unsaid, revision = said.get("kind"), said.get("unsaid"), said.get("revision")
    return MethodFacts(
        kind=cast(Kind, kind) if kind in get_args(Kind) else "other",
        phrase=str(said.get("phrase") or ""),
        unsaid=tuple(map(str, unsaid)) if isinstance(unsaid, list) else (),
        counterpart=str(said.get("counterpart") or ""),
        # Earlier versions did not record it.
        revision=revision if isinstance(revision, int) else 1,
    )
