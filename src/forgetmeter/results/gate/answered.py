"""What a variant answered on a task, for a gate: estimates whose intervals keep their error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.compared.clustered import accuracy_interval, paired_difference
from forgetmeter.runs.content.answers import Answers
from forgetmeter.specs.condition import Quantity
from forgetmeter.statistics.paired import Estimate, paired_drop, proportion
from forgetmeter.statistics.resampling import hull
from forgetmeter.statistics.strict import strict_drop, strict_proportion


@dataclass(frozen=True, eq=False)
class VariantAnswers:
    """The answers of a variant to some items of a task.

    Attributes:
        answers: The outcomes of its model and task.
        row: The variant.
        among: The items, shape ``(items,)``.
        asked_of: The items that it was asked, same shape; ``None`` for all. Fewer if it stopped early.
    """

    answers: Answers
    row: int
    among: NDArray[np.bool_]
    asked_of: NDArray[np.bool_] | None = None

    @property
    def missing(self) -> NDArray[np.bool_]:
        """The items that it was asked, and that only the baseline answered, shape ``(items,)``."""
        baseline = self.answers.baseline
        if baseline is None:
            return np.zeros_like(self.among)
        missing: NDArray[np.bool_] = self.among & self.answers.answered[baseline] & ~self.answers.answered[self.row]
        return missing if self.asked_of is None else missing & self.asked_of

    @property
    def relations(self) -> int | None:
        """Number of relations that its intervals are over; ``None`` for intervals over items."""
        clusters = self.answers.clusters(self.among)
        return None if clusters is None else clusters.relations

    def completed(self, *, is_right: bool) -> VariantAnswers:
        """Return it as if all missing answers were right, or wrong."""
        missing = self.missing
        if not missing.any():
            return self
        answered, correct = self.answers.answered.copy(), self.answers.correct.copy()
        answered[self.row, missing] = True
        correct[self.row, missing] = is_right
        return replace(self, answers=replace(self.answers, answered=answered, correct=correct))

    def asked(self, quantity: Quantity) -> NDArray[np.bool_]:
        """Return the items that a quantity is over, shape ``(items,)``."""
        has = self.answers.answered if quantity == "accuracy" else self.answers.paired
        asked: NDArray[np.bool_] = self.among & has[self.row]
        return asked & self.answers.known if quantity == "retained" else asked

    def changes(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the items that it lost and that it gained, each of shape ``(items,)``."""
        asked, known, right = self.asked("drop"), self.answers.known, self.answers.correct[self.row]
        return asked & known & ~right, asked & ~known & right


def estimate(of: VariantAnswers, quantity: Quantity, confidence: float) -> Estimate:
    """Return a drop, retained share or accuracy, over relations if there are at least five; over at least one item.

    Its interval contains that of ``show`` and that of ``statistics.strict``.
    """
    if of.relations is None:
        return pooled([of], quantity, confidence)
    asked = of.asked(quantity)
    if quantity == "drop":
        lost, won = of.changes()
        usual = paired_difference(of.answers, lost=lost, won=won, asked=asked, confidence=confidence)
    else:
        usual = accuracy_interval(of.answers, of.row, asked, confidence=confidence)
    return hull(usual, _strict([of], quantity, confidence))


def pooled(parts: Sequence[VariantAnswers], quantity: Quantity, confidence: float) -> Estimate:
    """Return the same over the items of several tasks together, which say nothing of other tasks."""
    lost, won, right, asked = _counts(parts, quantity)
    if quantity == "drop":
        usual = paired_drop(forgotten=lost, gained=won, items=asked, confidence=confidence)
    else:
        usual = proportion(right, asked, confidence=confidence)
    return hull(usual, _strict(parts, quantity, confidence))


def _strict(parts: Sequence[VariantAnswers], quantity: Quantity, confidence: float) -> Estimate:
    lost, won, right, asked = _counts(parts, quantity)
    if quantity == "drop":
        return strict_drop(forgotten=lost, gained=won, items=asked, confidence=confidence)
    return strict_proportion(right, asked, confidence=confidence)


def _counts(parts: Sequence[VariantAnswers], quantity: Quantity) -> tuple[int, int, int, int]:
    """Return how many items were lost, gained, are right, and were asked."""
    asked = [of.asked(quantity) for of in parts]
    marks = [(*of.changes(), each & of.answers.correct[of.row], each) for of, each in zip(parts, asked, strict=True)]
    lost, won, right, number = (sum(int(each.sum()) for each in kind) for kind in zip(*marks, strict=True))
    return lost, won, right, number
