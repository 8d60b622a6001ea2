"""Making several standards, some at a time."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
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
    make = partial(_make, out=out, seed=seed, after_epoch=after_epoch)
    # Leaving the block ends the processes, be it by Ctrl-C.
    with context.Pool(min(workers, len(families)), initializer=_leave_interrupts_to_the_parent) as pool:
        made = {each.family: each for each in pool.imap_unordered(make, families)}
    return [made[family] for family in families]


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make(family: Family, *, out: Path, seed: int, after_epoch: AfterEpoch) -> Made:
    def after(epoch: Epoch) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            # It was killed: nobody waits for this standard.
            sys.exit(1)
        after_epoch(family, epoch)

    return make_standard(family, out, seed=seed, after_epoch=after)
