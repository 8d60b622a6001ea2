"""Declared tasks by name: built-in probes and plug-ins. All other tasks are lm-eval's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from forgetmeter.errors import UserError
from forgetmeter.probes.data.archive import ProbeArchive
from forgetmeter.probes.declaration import Metric, TaskDeclaration
from forgetmeter.specs.registry import Registry

GROUP = "forgetmeter.tasks"
"""Entry-point group of plug-ins: a task's name, and its declaration or a function from a limit to the task."""

TASKS = Registry(
    "task",
    GROUP,
    {
        "lama/squad": "forgetmeter.probes.lama.task:SQUAD",
        "lama/google_re": "forgetmeter.probes.lama.task:GOOGLE_RE",
        "lama/trex": "forgetmeter.probes.lama.task:TREX",
        "lama/conceptnet": "forgetmeter.probes.lama.task:CONCEPTNET",
        "bear": "forgetmeter.probes.bear:TASK",
        "popqa": "forgetmeter.probes.popqa:TASK",
        "facts": "forgetmeter.probes.facts.task:TASK",
        "file": "forgetmeter.probes.from_file.task:TASK",
        "perplexity": "forgetmeter.probes.on_text.perplexity:TASK",
        "divergence": "forgetmeter.probes.on_text.divergence:TASK",
    },
)

_LM_EVALS_PERPLEXITY = Metric("perplexity", is_perplexity=True)


def find_task(text: str) -> TaskDeclaration | None:
    """Return the declaration of a task, named with or without options, or ``None`` if the name is not declared.

    Raises:
        UserError: Two tasks have the same name, or the plug-in does not load or is not valid.
    """
    name = _entry(text)
    if name is None:
        return None
    loaded = TASKS.load(name)
    if name in TASKS.built_in:
        declaration: TaskDeclaration = loaded
        return declaration
    return _plug_in(name, loaded)


def is_declared(text: str) -> bool:
    """Return whether a task, named with or without options, has a declaration, without importing it."""
    return _entry(text) is not None


def _entry(text: str) -> str | None:
    entries = TASKS.entries()
    name = text if text in entries else text.partition(":")[0]
    return name if name in entries else None


def canonical_name(text: str) -> str:
    """Return a task's name with its options in canonical form; names that are not declared stay unchanged.

    Raises:
        UserError: Options are malformed or unknown, or have invalid values.
    """
    # Without options, there is nothing to check, so the plug-in is not imported.
    declared = find_task(text) if ":" in text and text not in TASKS.entries() else None
    return text if declared is None else str(declared.parse(text))


def without_paths(text: str) -> str | None:
    """Return a task's name without the options that are paths; ``None`` if it has none.

    Two names of a task that give one file by different paths have this name in common.
    """
    with suppress(UserError):
        if ":" in text and (declared := find_task(text)) is not None:
            name = declared.parse(text)
            others = tuple((key, value) for key, value in name.options if name.declared[key].kind != "path")
            return str(replace(name, options=others)) if len(others) < len(name.options) else None
    return None


def metrics_of(task: str, names: Iterable[str]) -> tuple[Metric, ...]:
    """Return a task's metrics: those it declares, in order, then the others among ``names``.

    The others, such as those of an lm-eval task or of a plug-in that is no longer installed, are declared like the
    metrics of the same name of ``perplexity`` and of lm-eval, or else by their name alone.
    """
    declared, shared = _declared_metrics(task), (*_declared_metrics("perplexity"), _LM_EVALS_PERPLEXITY)
    others = dict.fromkeys(name for name in names if name not in {each.name for each in declared})
    known = [each for each in shared if each.name in others]
    return (*declared, *known, *(Metric(name) for name in others if name not in {each.name for each in known}))


def _declared_metrics(task: str) -> tuple[Metric, ...]:
    with suppress(UserError):
        if (declared := find_task(task)) is not None:
            return declared.metrics
    return ()


def things(task: str, number: int) -> str:
    """Return the noun for ``number`` items of a task: what the task declares, such as ``facts``, else ``items``."""
    # The run may name a task that is no longer installed.
    with suppress(UserError):
        if (declared := find_task(task)) is not None:
            return declared.things(declared.parse(task), number)
    return "item" if number == 1 else "items"


def counted_things(task: str, number: int) -> str:
    """Return a number of a task's items with their noun, such as ``1,000 facts``."""
    return f"{number:,} {things(task, number)}"


def declarations() -> Iterator[TaskDeclaration]:
    """Yield all declarations except those of broken plug-ins, which fail when they are used by name."""
    for name in TASKS.entries():
        try:
            declared = find_task(name)
        except UserError:
            continue
        if declared is not None:
            yield declared


def archives() -> dict[str, ProbeArchive]:
    """Return the published data of tasks by name."""
    return {each.data.name: each.data for each in declarations() if each.data is not None}


def _plug_in(name: str, loaded: Any) -> TaskDeclaration:  # noqa: ANN401 - whatever its entry point names
    """Return the declaration of a plug-in, which reports its errors in one line."""
    if not isinstance(loaded, TaskDeclaration):
        if not callable(loaded):
            raise TASKS.failure(name, "is neither a TaskDeclaration nor a function")
        return TaskDeclaration(name=name, load=TASKS.guarded(name, lambda _, *, limit: loaded(limit)))
    TASKS.check_name(name, loaded.name)
    if not all(isinstance(metric, Metric) for metric in loaded.metrics):
        raise TASKS.failure(name, "has metrics that are not Metric objects")
    return replace(loaded, load=TASKS.guarded(name, loaded.load), check=TASKS.guarded(name, loaded.check))
