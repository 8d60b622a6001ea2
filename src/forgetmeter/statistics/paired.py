"""Paired comparison of two variants on the same items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, norm

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval."""

    value: float
    low: float
    high: float


def value(estimate: Estimate | None) -> float | None:
    """Return the number alone."""
    return None if estimate is None else estimate.value


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of estimates of different tasks, which are independent.

    Combines their limits by the "method of variance estimates recovery" (Zou and Donner 2008, see
    ``clustered_proportion``).
    """
    values = np.asarray([(each.value, each.low, each.high) for each in estimates])
    mean = float(values[:, 0].mean())
    below, above = (float(np.sqrt(((values[:, 0] - values[:, side]) ** 2).sum())) / len(values) for side in (1, 2))
    return Estimate(mean, mean - below, mean + above)


@dataclass(frozen=True)
class Paired:
    """A variant against the baseline on the same items.

    Attributes:
        items: Number of items.
        drop: Accuracy of the baseline minus that of the variant.
        p_value: Two-sided exact McNemar test of no change.
        known: Items that the baseline got right.
        retained: Share of the known items that the variant gets right too; ``None`` if no item is known.
        forgotten: Items that the baseline got right and the variant gets wrong.
        gained: Items that the baseline got wrong and the variant gets right.
        flips: Share of items whose correctness changed, either way.
        prediction_flips: Share of items whose prediction changed; ``None`` without predictions.
    """

    items: int
    drop: Estimate
    p_value: float
    known: int
    retained: Estimate | None
    forgotten: int
    gained: int
    flips: float
    prediction_flips: float | None


def compare_paired(
    baseline: ArrayLike,
    variant: ArrayLike,
    *,
    predictions: tuple[ArrayLike, ArrayLike] | None = None,
    confidence: float = CONFIDENCE,
) -> Paired:
    """Compare correctness item by item.

    Args:
        baseline: Whether the baseline is right, shape ``(items,)``, bool.
        variant: Whether the variant is right, on the same items in the same order.
        predictions: Answers of the baseline and of the variant, as text.
        confidence: Confidence level of the intervals.

    Raises:
        ValueError: The arrays are empty, or their shapes differ.
    """
    before, after = _correctness(baseline), _correctness(variant)
    if before.shape != after.shape or any(len(np.asarray(answers)) != len(before) for answers in predictions or ()):
        numbers = ", ".join(str(len(np.asarray(each))) for each in (before, after, *(predictions or ())))
        raise ValueError(f"outcomes and predictions of different numbers of items cannot be paired: {numbers}")
    forgotten = int(np.count_nonzero(before & ~after))
    gained = int(np.count_nonzero(~before & after))
    known = int(np.count_nonzero(before))
    return Paired(
        items=len(before),
        drop=paired_drop(forgotten=forgotten, gained=gained, items=len(before), confidence=confidence),
        p_value=mcnemar_exact(forgotten=forgotten, gained=gained),
        known=known,
        retained=proportion(known - forgotten, known, confidence=confidence) if known else None,
        forgotten=forgotten,
        gained=gained,
        flips=(forgotten + gained) / len(before),
        prediction_flips=None if predictions is None else _share_different(*predictions),
    )


def accuracy(correct: ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the share of right answers with its Wilson interval, at 95% unless another confidence is given.

    Raises:
        ValueError: ``correct`` is empty.
    """
    outcomes = _correctness(correct)
    return proportion(int(np.count_nonzero(outcomes)), len(outcomes), confidence=confidence)


def proportion(count: int, total: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return a proportion with its Wilson interval; ``total`` must be at least 1.

    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American Statistical
    Association 22(158), 1927, 209-212.
    """
    quantile = normal_quantile(confidence)
    share, squared = count / total, quantile**2
    scale = 1 + squared / total
    centre = (share + squared / (2 * total)) / scale
    half = quantile * math.sqrt(share * (1 - share) / total + squared / (4 * total**2)) / scale
    # At 0 and 1, rounding can leave the share just outside its interval.
    return Estimate(share, min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share))


def paired_drop(*, forgotten: float, gained: float, items: float, confidence: float = CONFIDENCE) -> Estimate:
    """Return the difference of two paired proportions with its interval.

    Bonett and Price's adjusted Wald interval ("Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", J. Educ. Behav. Stat. 37(4), 2012, 479-488) adds one to both discordant counts
    and two to the number of items, so its width is positive even if nothing changed.
    """
    lost, won = (forgotten + 1) / (items + 2), (gained + 1) / (items + 2)
    centre = lost - won
    half = normal_quantile(confidence) * math.sqrt((lost + won - centre**2) / (items + 2))
    return Estimate((forgotten - gained) / items, max(-1.0, centre - half), min(1.0, centre + half))


def normal_quantile(confidence: float = CONFIDENCE) -> float:
    """Return how many standard errors a two-sided interval extends to each side."""
    return float(norm.isf((1 - confidence) / 2))


def mcnemar_exact(*, forgotten: int, gained: int) -> float:
    """Return the two-sided p-value of McNemar's exact test; 1 if nothing changed."""
    changed = forgotten + gained
    return min(1.0, 2 * float(binom.cdf(min(forgotten, gained), changed, 0.5))) if changed else 1.0


def _correctness(correct: ArrayLike) -> NDArray[np.bool_]:
    outcomes = np.asarray(correct, dtype=np.bool_)
    if outcomes.ndim != 1 or not len(outcomes):
        raise ValueError(f"outcomes must be a non-empty array with one value per item; the shape is {outcomes.shape}")
    return outcomes


def _share_different(before: ArrayLike, after: ArrayLike) -> float:
    changed = np.asarray(before, dtype=object) != np.asarray(after, dtype=object)
    return float(np.mean(changed))
