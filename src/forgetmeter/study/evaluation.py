"""Asking one model some tasks, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forgetmeter.models.loaded import Loaded
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import Task, check_task, judged
from forgetmeter.records.outcome import Judgement
from forgetmeter.scoring.engine import Engine


def evaluate(
    loaded: Loaded,
    tasks: str | Sequence[str | Task],
    *,
    limit: int | None = None,
    batch_tokens: int | None = None,
    data: Path | str | None = None,
) -> dict[str, Judgement]:
    """Ask a model tasks.

    Args:
        loaded: The model.
        tasks: Names of tasks, or tasks; a single name is one task.
        limit: Only the first so many items of each task that is given by name, or of each relation of a built-in
            probe; ``None`` for all.
        batch_tokens: The most tokens in a batch; ``None`` for what suits the device.
        data: The data folder of the probes; by default ``FORGETMETER_DATA``, else ``data`` in the cache folder.

    Returns:
        For each task by name, the outcome of every item and the task's metrics.

    Raises:
        UserError: There is no such task, or its data cannot be had.
    """
    engine = Engine(loaded, batch_tokens=batch_tokens)
    folder = None if data is None else Path(data)
    judgements = {}
    for entry in [tasks] if isinstance(tasks, str) else tasks:
        if isinstance(entry, str):
            task = load_task(entry, limit=limit, data=folder)
        else:
            task = entry
            check_task(task, task.description.name)
        judgements[task.description.name] = judged(task, engine.score(engine.prepare(task.items)))
    return judgements
