"""Making several standards, some at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from forgetmeter.models.family import Family
from forgetmeter.standards.made import Made
from forgetmeter.standards.making import check_out, make_standard
from forgetmeter.standards.training import Epoch

AfterEpoch = Callable[[Family, Epoch], None]


def make_standards(
    families: Sequence[Family], out: Path, *, seed: int, workers: int, after_epoch: AfterEpoch
) -> list[Made]:
    """Make standards, each in a process of its own; the number of processes changes nothing about them.

    Args:
        families: Which.
        out: The folder that gets a folder for each.
        seed: Of each.
        workers: How many to make at a time.
        after_epoch: Called after each epoch, in the processes; it must be a function of a module.

    Raises:
        UserError: They cannot be written there.
    """
    check_out(out, families)
    context = multiprocessing.get_context("spawn")
    made = {}
    with ProcessPoolExecutor(min(workers, len(families)), mp_context=context) as pool:
        waiting = [pool.submit(_make, family, out, seed, after_epoch) for family in families]
        for future in as_completed(waiting):
            made[future.result().family] = future.result()
    return [made[family] for family in families]


def _make(family: Family, out: Path, seed: int, after_epoch: AfterEpoch) -> Made:
    return make_standard(family, out, seed=seed, after_epoch=lambda epoch: after_epoch(family, epoch))
