"""Evaluates one model on tasks, without a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded, check_loaded
from forgetmeter.probes.loading import load_task, single_tasks
from forgetmeter.records.item import Task, check_task, is_compared, judged
from forgetmeter.records.outcome import Judgement
from forgetmeter.scoring.engine import Engine


def evaluate(
    loaded: Loaded,
    tasks: str | Task | Sequence[str | Task],
    *,
    limit: int | None = None,
    batch_tokens: int | None = None,
    data: Path | str | None = None,
) -> dict[str, Judgement]:
    """Evaluate a model on tasks.

    Args:
        loaded: The model.
        tasks: Names of tasks, where a group of lm-eval's stands for its tasks, or tasks themselves; a single one needs
            no list.
        limit: Only the first N items of each named task, or of each relation of a built-in probe; ``None`` for all.
        batch_tokens: Maximum number of tokens per batch; by default, it depends on the device.
        data: Data folder of the probes; by default ``FORGETMETER_DATA``, else ``data`` in the cache folder.

    Returns:
        The outcomes of all items and the task's metrics, by task name.

    Raises:
        UserError: ``loaded`` is not a loaded model, or one of ``tasks`` is unknown or neither a name nor a task, its
            data is missing, or it compares a variant with its baseline.
    """
    check_loaded(loaded)
    engine = Engine(loaded, batch_tokens=batch_tokens)
    folder = None if data is None else Path(data)
    judgements = {}
    for task in [_task(entry, limit, folder) for entry in _entries(tasks)]:
        judgements[task.description.name] = judged(task, engine.score(engine.prepare(task.items)))
    return judgements


def _entries(tasks: str | Task | Sequence[str | Task]) -> Iterator[str | Task]:
    listed = tasks if isinstance(tasks, Sequence) and not isinstance(tasks, str | bytes | bytearray) else [tasks]
    for entry in listed:
        yield from single_tasks([entry]) if isinstance(entry, str) else [entry]


def _task(entry: str | Task, limit: int | None, data: Path | None) -> Task:
    if isinstance(entry, str):
        task = load_task(entry, limit=limit, data=data)
    else:
        task = entry
        check_task(task)
    if is_compared(task.items):
        raise UserError(
            f"task '{task.description.name}' compares a variant with its baseline, which needs both; use "
            "forgetmeter.run"
        )
    return task
