"""Measuring the noise floor: the baseline asked again, in batches of another shape."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Task
from forgetmeter.records.judging import judged
from forgetmeter.records.noise import Noise, noise_between
from forgetmeter.records.outcome import Outcome
from forgetmeter.scoring.engine import Engine

# A quarter: rows come to lie in other company, and most often in matrices of another height.
_SHARE = 4


def measure_noise(
    loaded: Loaded, task: Task, *, batch_tokens: int | None, first: Sequence[Outcome] | None = None
) -> Noise:
    """Ask a model a task again in smaller batches, and compare.

    Args:
        loaded: The model, as it is.
        task: What to ask.
        batch_tokens: The most tokens in a batch of the first scoring; ``None`` for what suits the device.
        first: Its outcomes, where they are there; else it is done here.
    """
    engine = Engine(loaded, batch_tokens=batch_tokens)
    smaller = Engine(loaded, batch_tokens=max(1, engine.batch_tokens // _SHARE))
    if first is None:
        first = _outcomes(engine, task)
    return noise_between(first, _outcomes(smaller, task), batch_tokens=(engine.batch_tokens, smaller.batch_tokens))


def _outcomes(engine: Engine, task: Task) -> Sequence[Outcome]:
    return judged(task, engine.score(engine.prepare(task.items))).outcomes
