"""Tasks by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from forgetmeter.errors import ManyUserError, UserError, one_line
from forgetmeter.probes.bear.relations import bear_relations
from forgetmeter.probes.bear.task import BearTask
from forgetmeter.probes.data.folder import BEAR, LAMA, probe_folder
from forgetmeter.probes.facts.file import fact_relations, read_fact_file
from forgetmeter.probes.facts.task import FactsTask
from forgetmeter.probes.lama.relations import lama_relations
from forgetmeter.probes.lama.task import LamaTask
from forgetmeter.probes.lm_eval.index import SCORED, group_names, not_scored, output_type, task_files
from forgetmeter.probes.perplexity import PerplexityTask, check_text_file
from forgetmeter.records.item import Task
from forgetmeter.specs.suggestion import did_you_mean
from forgetmeter.specs.task_name import BEAR_TASK, FACTS_TASK, PERPLEXITY_TASK, PROBE_OPTIONS, parse_task_name

# Named in error messages; any other of lm-eval's is as good.
_WELL_KNOWN = ("arc_challenge", "arc_easy", "boolq", "hellaswag", "openbookqa", "piqa", "sciq", "winogrande")


PLUGINS = "forgetmeter.tasks"
"""Entry-point group of plug-ins: a task's name, and a function from a limit (or ``None``) to the task."""

TaskMaker = Callable[[int | None], Task]


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks: the built-in probes, then the others, sorted."""
    return (*PROBE_OPTIONS, *sorted({*task_files(), *plugged_in()} - PROBE_OPTIONS.keys()))


def plugged_in() -> dict[str, Callable[[], TaskMaker]]:
    """Return what loads each plug-in's task maker, by the task's name."""
    return {point.name: point.load for point in entry_points(group=PLUGINS)}


def task_problems(name: str, *, data: Path | None = None) -> list[str]:
    """Return what is wrong with a task's name or options, a line each, without loading its data.

    Args:
        name: As in a study.
        data: The data folder of the probes, where it was named; it must hold the files that the task needs.
    """
    if name in plugged_in():
        return []
    base, colon, _ = name.partition(":")
    if base in PROBE_OPTIONS:
        return _probe_problems(name, data)
    files = task_files()
    if name in files:
        kind = output_type(name)
        return [] if kind in SCORED else [not_scored(name, kind)]
    if colon and base in {*files, *plugged_in()}:
        return [f"task '{base}' takes no options, so '{name}' is unknown; write {base}"]
    if name in group_names():
        return [f"task '{name}' is a group of lm-eval's tasks; name the single tasks (see forgetmeter list tasks)"]
    return [
        f"unknown task '{name}'{did_you_mean(base, [*PROBE_OPTIONS, *files])} (allowed: {', '.join(PROBE_OPTIONS)}, "
        f"{', '.join(_WELL_KNOWN)} and {len(files) - len(_WELL_KNOWN)} more; see forgetmeter list tasks)"
    ]


def load_task(name: str, *, limit: int | None = None, data: Path | None = None) -> Task:
    """Load a task with its items.

    Args:
        name: As in a study.
        limit: Only the first N items, or of a built-in probe the first N of each relation (of ``facts``, and
            phrasing); ``None`` for all.
        data: The data folder of the probes; by default as ``data_folder`` finds it.

    Raises:
        UserError: There is no such task, or its data cannot be had.
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UserError(f"limit {limit!r} is not a whole number from 1")
    if name in (makers := plugged_in()):
        try:
            return makers[name]()(limit)
        except UserError:
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {one_line(error)}"
            raise UserError(f"task '{name}', a plug-in, cannot be made: {cause}") from error
    if problems := task_problems(name, data=data):
        raise ManyUserError(problems)
    if (probe := parse_task_name(name)).base in PROBE_OPTIONS:
        if probe.base == FACTS_TASK:
            return FactsTask(probe, limit=limit)
        if probe.base == PERPLEXITY_TASK:
            return PerplexityTask(probe, limit=limit)
        return (BearTask if probe.base == BEAR_TASK else LamaTask)(probe, limit=limit, data=data)
    from forgetmeter.probes.lm_eval.task import LmEvalTask

    return LmEvalTask(name, limit=limit)


def _probe_problems(name: str, data: Path | None) -> list[str]:
    try:
        probe = parse_task_name(name)
        if probe.base == FACTS_TASK:
            fact_relations(probe, read_fact_file())
        elif probe.base == PERPLEXITY_TASK:
            check_text_file(probe.value("file"))
        elif probe.base == BEAR_TASK:
            bear_relations(probe, probe_folder(BEAR, data))
        else:
            lama_relations(probe, probe_folder(LAMA, data))
    except UserError as error:
        return str(error).splitlines()
    return []
