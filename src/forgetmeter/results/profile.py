"""Where a run's time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forgetmeter.runs.record_json import is_number
from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import StoredCell


@dataclass(frozen=True)
class TaskTime:
    """The time of a model's variants on one task.

    Attributes:
        cells: Number of cells that are done.
        items: Number of items evaluated.
        prepare: Seconds of tokenizing and batching, once for all variants.
        score: Seconds of computing, or of waiting for another runtime.
        judge: Seconds of turning answers into outcomes.
        tokens: Tokens that were read and written per second of computing; ``None`` where nothing was computed in full.
        padding: Share of padding among the positions that were computed; ``None`` if it is not known.
        product_share: Rate of the arithmetic that the answers need, as a share of the rate of a large matrix product;
            ``None`` if it is not known.
    """

    model: str
    task: str
    cells: int
    items: int
    prepare: float
    score: float
    judge: float
    tokens: float | None
    padding: float | None
    product_share: float | None

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage."""
        return {"prepare": self.prepare, "score": self.score, "judge": self.judge}


@dataclass(frozen=True)
class Profile:
    """The time of a run.

    Attributes:
        load: Seconds of loading each model.
        compress: Seconds of compressing each model.
        rates: Rate of a large matrix product while each model was evaluated, in floating-point operations per second.
        tasks: By model and task, in the study's order.
    """

    load: dict[str, float]
    compress: dict[str, float]
    rates: dict[str, float]
    tasks: tuple[TaskTime, ...]


def profile(run: Run) -> Profile:
    """Return where a run's time went; cells of earlier versions did not record all of it."""
    load: dict[str, float] = {}
    compress: dict[str, float] = {}
    rates: dict[str, float] = {}
    for variant in run.variants:
        compress[variant.model] = compress.get(variant.model, 0.0) + _number(variant.facts, "compress_seconds")
        if seconds := _number(variant.facts, "load_seconds"):
            load[variant.model] = load.get(variant.model, 0.0) + seconds
        if rate := _number(variant.facts, "product_rate"):
            rates[variant.model] = max(rates.get(variant.model, 0.0), rate)
    groups: dict[tuple[str, str], list[StoredCell]] = {}
    for cell in run.cells:
        if cell.seconds is not None:
            groups.setdefault((cell.model, cell.task), []).append(cell)
    return Profile(load, compress, rates, tuple(_time(*key, cells, rates.get(key[0])) for key, cells in groups.items()))


def _time(model: str, task: str, cells: Sequence[StoredCell], rate: float | None) -> TaskTime:
    # Of other cells, part of the computation was reused, or skipped.
    whole = [cell for cell in cells if cell.is_timed and cell.seconds and cell.tokens]
    seconds = sum(cell.seconds or 0.0 for cell in whole)
    padded = [cell for cell in cells if _number(cell.facts, "positions")]
    positions = sum(_number(cell.facts, "positions") for cell in padded)
    operations = [_number(cell.facts, "operations") for cell in whole]
    return TaskTime(
        model=model,
        task=task,
        cells=len(cells),
        items=sum(cell.rows for cell in cells),
        prepare=sum(_number(cell.facts, "prepare_seconds") for cell in cells),
        score=sum(cell.seconds or 0.0 for cell in cells),
        judge=sum(_number(cell.facts, "judge_seconds") for cell in cells),
        tokens=sum(cell.tokens or 0 for cell in whole) / seconds if seconds else None,
        padding=1 - sum(cell.tokens or 0 for cell in padded) / positions if positions else None,
        product_share=sum(operations) / seconds / rate if rate and operations and all(operations) else None,
    )


def _number(facts: Mapping[str, Any], name: str) -> float:
    """Return a recorded number; 0 if it is missing."""
    value = facts.get(name)
    return float(value) if value is not None and is_number(value) else 0.0
