"""Two recipes compared on items that neither was chosen by."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.compared.clustered import accuracy_interval, retained_difference
from forgetmeter.runs.content.answers import Answers
from forgetmeter.statistics.paired import CONFIDENCE, Estimate, mean_of


@dataclass(frozen=True)
class HeldOut:
    """What two recipes retain of the held-out items that the baseline knows; means over the tasks.

    Attributes:
        known: Number of these items.
        first: Share that the first recipe retains, with its 95% interval.
        other: Share that the other one retains.
        gain: The first share minus the other.
    """

    known: int
    first: Estimate
    other: Estimate
    gain: Estimate


def held_out(run: Sequence[Answers], used: Mapping[str, Collection[str]], first: str, other: str) -> HeldOut | None:
    """Compare two recipes of a run of one model on the known items that were not used.

    Args:
        run: The run's answers.
        used: Ids of the items that were used to choose, by task; other tasks do not count.
        first: A recipe, as text.
        other: Another one.

    Returns:
        The comparison; ``None`` if the baseline knows none of the other items of a task.
    """
    found = [_of_task(answers, used[answers.task], first, other) for answers in run if answers.task in used]
    kept = [each for each in found if each is not None]
    if not kept or len(kept) < len(found):
        return None
    return HeldOut(
        known=sum(known for known, *_ in kept),
        first=mean_of([each[1] for each in kept]),
        other=mean_of([each[2] for each in kept]),
        gain=mean_of([each[3] for each in kept]),
    )


def retained_of_used(run: Sequence[Answers], used: Mapping[str, Collection[str]], recipe: str) -> float:
    """Return the share of the known items among those used that a recipe retains; the mean over the tasks."""
    shares = []
    for answers in run:
        if answers.task in used:
            row = answers.recipes.index(recipe)
            asked = answers.known & answers.paired[row] & _among(answers, used[answers.task])
            shares.append(float(answers.correct[row][asked].mean()) if asked.any() else 0.0)
    return float(np.mean(shares)) if shares else 0.0


def _of_task(
    answers: Answers, used: Collection[str], first: str, other: str
) -> tuple[int, Estimate, Estimate, Estimate] | None:
    one, two = answers.recipes.index(first), answers.recipes.index(other)
    asked = answers.known & answers.paired[one] & answers.paired[two] & ~_among(answers, used)
    if not asked.any():
        return None
    return (
        int(asked.sum()),
        accuracy_interval(answers, one, asked, confidence=CONFIDENCE),
        accuracy_interval(answers, two, asked, confidence=CONFIDENCE),
        retained_difference(answers, one, two, asked),
    )


def _among(answers: Answers, used: Collection[str]) -> NDArray[np.bool_]:
    chosen = set(used)
    return np.asarray([item in chosen for item in answers.items], dtype=np.bool_)
