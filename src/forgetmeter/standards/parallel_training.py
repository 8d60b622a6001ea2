"""Training several standards in parallel."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from forgetmeter.basics.safe_path import safe_path
from forgetmeter.models.family import Family
from forgetmeter.standards.making import check_epochs, check_output_folder, make_standard
from forgetmeter.standards.trained_standard import TrainedStandard
from forgetmeter.standards.training import Epoch

AfterEpoch = Callable[[Family, Epoch], None]


def make_standards(
    families: Sequence[Family],
    out: Path,
    *,
    seed: int,
    workers: int,
    after_epoch: AfterEpoch,
    keep: Collection[int] = (),
) -> list[TrainedStandard]:
    """Train standards in up to ``workers`` processes, whose number does not affect the weights.

    Args:
        out: Output folder, with one subfolder per standard.
        after_epoch: Called in the worker after each epoch; must be a module-level function.
        keep: Epochs after which the models are also written to ``out/FAMILY-epoch-N``.

    Raises:
        UserError: The standards cannot be written to ``out``, or there are fewer epochs.
    """
    check_epochs(families, keep)
    check_output_folder(out, families, keep)
    context = multiprocessing.get_context("spawn")
    make = partial(_make, out=out, seed=seed, after_epoch=after_epoch, keep=keep)
    # Leaving the block, also on Ctrl-C, ends the processes.
    with safe_path():
        started = context.Pool(min(workers, len(families)), initializer=_leave_interrupts_to_the_parent)
    with started as pool:
        made = {each.family: each for each in pool.imap_unordered(make, families)}
    return [made[family] for family in families]


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make(family: Family, *, out: Path, seed: int, after_epoch: AfterEpoch, keep: Collection[int]) -> TrainedStandard:
    def after(epoch: Epoch) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            # The parent was killed, so nobody waits for this standard.
            sys.exit(1)
        after_epoch(family, epoch)

    return make_standard(family, out, seed=seed, after_epoch=after, keep=keep)
