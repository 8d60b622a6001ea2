"""Logs of lm-evaluation-harness as a run: those of a baseline, and of candidates evaluated in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetmeter.errors import UserError
from forgetmeter.importing.imported_run import ImportedRun, ImportedTask, ImportedVariant, shared_tasks, unshared_note
from forgetmeter.importing.lm_eval.agreement import paired, refuse_other_settings
from forgetmeter.importing.lm_eval.asked_items import TaskForm
from forgetmeter.importing.lm_eval.judged_task import JudgedTask, judged_task
from forgetmeter.importing.lm_eval.log_files import Logs, TaskLog, find_logs
from forgetmeter.importing.lm_eval.names import variant_names
from forgetmeter.importing.lm_eval.reported import reported_notes
from forgetmeter.importing.lm_eval.samples import Sample, Samples, read_samples
from forgetmeter.importing.lm_eval.shown_question import Examples, ShownQuestion
from forgetmeter.probes.lm_eval.judging import lower_is_better
from forgetmeter.records.imported import Origin
from forgetmeter.records.item import TaskDescription
from forgetmeter.specs.suggestion import unknown

_DELIMITER = " "
_SHOT_DELIMITER = "\n\n"
_SETTINGS = ("model", "model_revision", "model_sha", "model_dtype", "limit", "gen_kwargs", "fewshot_seed")


@dataclass(frozen=True)
class _Choice:
    """The metric that decides what is right, if chosen: ``acc_norm``, or ``exact_match,flexible-extract``."""

    metric: str | None = None

    @property
    def name(self) -> str | None:
        return None if self.metric is None else self.metric.partition(",")[0]

    @property
    def filter(self) -> str | None:
        return None if self.metric is None else self.metric.partition(",")[2] or None


def import_lm_eval(
    baseline: Path, candidates: Sequence[Path], *, tasks: Sequence[str] | None = None, metric: str | None = None
) -> ImportedRun:
    """Read the answers that ``lm_eval --log_samples`` logged.

    Args:
        baseline: Folder with the logs of the model that the others are compared with.
        candidates: Folders with the logs of the others.
        tasks: The tasks or groups to import; by default, all that the baseline and a candidate share.
        metric: The metric that decides what is right, in tasks that have it: ``acc_norm``, or with a filter
            ``exact_match,flexible-extract``. By default, the first of acc, exact_match, acc_norm and the others.

    Raises:
        UserError: The logs cannot be read, or the models were not evaluated in the same way.
    """
    logs = [find_logs(folder) for folder in (baseline, *candidates)]
    _refuse_same(logs)
    names = variant_names(logs)
    chosen = _chosen(tasks or (), logs)
    tasks_of = [[task for task in each.tasks if tasks is None or task in chosen] for each in logs]
    wanted = shared_tasks(tasks_of[0], dict(zip(names[1:], tasks_of[1:], strict=True)))
    parts = _Parts(logs, names, _Choice(metric))
    for place, own in enumerate(tasks_of):
        why = "the baseline did not answer them" if place else "no candidate answered them"
        parts.notes[place] += unshared_note(own, wanted, why=why)
    for task in wanted:
        parts.add(task)
    if not parts.tasks:
        raise UserError(f"no task can be imported ({'; '.join(parts.notes[0])}); import other logs")
    if metric is not None and not parts.is_chosen_used:
        raise UserError(unknown("metric", metric, parts.metrics, within="these tasks"))
    variants = [parts.variant(place) for place in range(len(logs))]
    for variant in variants:
        if not any(each.outcomes for each in variant.judgements.values()):
            raise UserError(
                f"no answer of '{variant.name}' can be imported ({'; '.join(variant.origin.notes)}); "
                "import other logs of it, or leave it out"
            )
    choices = {"metric": metric} if metric is not None else {}
    return ImportedRun(tuple(parts.tasks), variants[0], tuple(variants[1:]), choices)


def _refuse_same(logs: Sequence[Logs]) -> None:
    seen: dict[tuple[str, ...], Path] = {}
    for each in logs:
        content = tuple(each.files.values())
        if content in seen:
            raise UserError(f"'{seen[content]}' and '{each.folder}' have the same logs; name each model once")
        seen[content] = each.folder


def _chosen(tasks: Sequence[str], logs: Sequence[Logs]) -> set[str]:
    """Return the tasks, and those of the groups, with these names."""
    groups = logs[0].results.document.get("group_subtasks")
    wanted = {name for task in tasks for name in _expanded(task, groups if isinstance(groups, dict) else {}, set())}
    for name in wanted:
        if name not in logs[0].tasks:
            raise UserError(unknown("task", name, logs[0].tasks, within="the logs of the baseline"))
    return wanted


def _expanded(task: str, groups: Mapping[str, Any], seen: set[str]) -> Iterator[str]:
    """Yield the tasks of a group, or the task itself."""
    if not isinstance(groups.get(task), list) or not groups[task] or task in seen:
        yield task
        return
    for each in groups[task]:
        yield from _expanded(str(each), groups, seen | {task})


class _Parts:
    """The parts of the run, collected task by task."""

    def __init__(self, logs: Sequence[Logs], names: Sequence[str], choice: _Choice) -> None:
        self._logs, self._names, self._choice = logs, names, choice
        self._judged: dict[str, tuple[list[int], JudgedTask]] = {}
        self.notes: list[list[str]] = [[*each.notes] for each in logs]
        self.tasks: list[ImportedTask] = []
        self.metrics: list[str] = []
        self.is_chosen_used = False

    def add(self, task: str) -> None:
        """Read, pair and judge a task."""
        log = self._logs[0].tasks[task]
        own = self._read(0, log)
        samples: list[Mapping[tuple[str, int], Sample]] = [{each.key: each for each in own.samples}]
        places = [0]
        for place, logs in list(enumerate(self._logs))[1:]:
            if (other := logs.tasks.get(task)) is not None:
                samples.append(self._paired(place, other, log, own))
                places.append(place)
        names = [f"'{self._names[place]}'" if place else "the baseline" for place in places]
        judged = judged_task(self._form(log, own), samples, names)
        if judged is None:
            self.notes[0].append(f"{task}: left out, since it has no metric for single documents")
            return
        for place, notes in zip(places, judged.notes, strict=True):
            self.notes[place] += notes
        if not judged.items:
            self.notes[0].append(f"{task}: left out, since no valid document remains")
            return
        self._say_filter(task, own)
        self.metrics += [each for each in _metric_names(own) if each not in self.metrics]
        self.is_chosen_used |= self._choice.name in own.metrics and self._choice.filter in (None, own.filter)
        self._judged[task] = places, judged
        self.tasks.append(ImportedTask(_description(log, judged), judged.items))

    def _read(self, place: int, log: TaskLog) -> Samples:
        samples = read_samples(log.path, filter_name=self._choice.filter)
        self.notes[place] += reported_notes(log, samples)
        return samples

    def _paired(self, place: int, other: TaskLog, log: TaskLog, own: Samples) -> Mapping[tuple[str, int], Sample]:
        name = self._names[place]
        refuse_other_settings(name, other, log)
        pairs = paired(name, log.task, self._read(place, other), own)
        self.notes[place] += pairs.notes
        return pairs.samples

    def _say_filter(self, task: str, own: Samples) -> None:
        if len(own.filters) > 1:
            others = " or ".join(f"{own.metrics[0]},{each}" for each in own.filters if each != own.filter)
            self.notes[0].append(f"{task}: answers as filtered by {own.filter} (choose others with --metric {others})")

    def _form(self, log: TaskLog, own: Samples) -> TaskForm:
        config = log.results.of_task("configs", log.task)
        config = config if isinstance(config, dict) else {}
        delimiter = config.get("target_delimiter")
        if log.results.document.get("chat_template_sha"):
            # As ConfigurableTask.construct_requests does (0.4.13).
            prefix = config.get("gen_prefix")
            delimiter = delimiter if prefix and not str(prefix)[-1].isspace() else ""
        is_chosen = self._choice.filter in (None, own.filter)
        return TaskForm(
            name=log.task,
            kind=own.kind(config.get("output_type")),
            delimiter=_DELIMITER if delimiter is None else str(delimiter),
            question=ShownQuestion(_examples(log, config), own.contexts),
            metric=self._choice.name if is_chosen else None,
            lower=lower_is_better(log.results.of_task("higher_is_better", log.task)),
        )

    def variant(self, place: int) -> ImportedVariant:
        """Return a variant with all its tasks."""
        logs, judgements, broken = self._logs[place], {}, {}
        for task, (places, judged) in self._judged.items():
            if place in places:
                judgements[task] = judged.judgements[places.index(place)]
                broken[task] = judged.not_numbers[places.index(place)]
        files = {logs.tasks[task].path.name: logs.files[logs.tasks[task].path.name] for task in judgements}
        origin = Origin(logs.results.tool, files, _settings(logs), (*self.notes[place], *self._said(logs)))
        return ImportedVariant(self._names[place], judgements, origin, broken)

    def _said(self, logs: Logs) -> Iterator[str]:
        if not logs.results.document:
            yield "its results file is missing, so it is unknown whether its tasks have the baseline's versions"
        elif self._logs[0].results.document and logs.results.tool != self._logs[0].results.tool:
            yield f"evaluated by {logs.results.tool}, the baseline by {self._logs[0].results.tool}"


def _examples(log: TaskLog, config: Mapping[str, Any]) -> Examples:
    number = log.results.of_task("n-shot", log.task)
    if not isinstance(number, int) or log.results.document.get("chat_template_sha"):
        # In a conversation, each example is a turn.
        return Examples()
    return Examples(
        number, str(config.get("fewshot_delimiter") or _SHOT_DELIMITER), str(config.get("description") or "")
    )


def _metric_names(own: Samples) -> list[str]:
    if len(own.filters) == 1:
        return list(own.metrics)
    return [f"{metric},{each}" for each in own.filters for metric in own.metrics]


def _description(log: TaskLog, judged: JudgedTask) -> TaskDescription:
    version, sizes = log.results.of_task("versions", log.task), log.results.of_task("n-samples", log.task)
    official = sizes.get("original") if isinstance(sizes, dict) else None
    return TaskDescription(
        name=log.task,
        version="" if version is None else str(version),
        source=log.results.tool,
        primary_metric=judged.primary,
        official_size=official if isinstance(official, int) else len(judged.items),
    )


def _settings(logs: Logs) -> dict[str, Any]:
    config = logs.results.config
    found = {key: config[key] for key in _SETTINGS if config.get(key) not in (None, "")}
    document = logs.results.document
    template = {key: document[key] for key in ("chat_template_sha", "system_instruction_sha") if document.get(key)}
    shots = {task: each for task in logs.tasks if (each := logs.results.of_task("n-shot", task))}
    return {
        **found,
        **({"model_args": logs.results.model_args} if logs.results.model_args else {}),
        **template,
        **({"num_fewshot": shots} if shots else {}),
    }
