"""One variant on one task in numbers, compared with the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.paired import CONFIDENCE, Estimate

SIGNIFICANT = 1 - CONFIDENCE
Verdict = Literal["lost", "gained", "unclear"]


@dataclass(frozen=True)
class CellSummary:
    """One variant on one task; what compares is ``None`` without the baseline's outcomes.

    Intervals are at 95%: over relations where the task has at least five, over items elsewhere.

    Attributes:
        model: The model, as text.
        recipe: The recipe, as text.
        task: The task.
        items: Number of items.
        accuracy: Share of right answers, with the Wilson interval.
        drop: Accuracy of the baseline minus that of the variant, on the same items.
        p_value: Exact McNemar test of no change.
        p_holm: The same, corrected by Holm for all comparisons of the run.
        relations: How many relations the intervals are over; ``None`` where they are over items.
        p_relations: t test over relations that the drop is zero; ``None`` where intervals are over items.
        p_relations_holm: The same, corrected by Holm for all such comparisons of the run.
        noise_floor: Share of items that change when the baseline is asked twice; ``None`` where it was not measured.
        verdict: ``lost`` or ``gained`` where the drop is beyond chance and the noise floor, else ``unclear``.
        retained: Share of what the baseline knew that is still known; ``None`` when it knew nothing.
        forgotten: Items right under the baseline and wrong now.
        gained: Items wrong under the baseline and right now.
        gained_share: The same as a share of what the baseline got wrong; ``None`` when that was nothing.
        flips: Share of items whose correctness changed.
        prediction_flips: Share of items whose prediction changed.
        metrics: The task's aggregated metrics by name.
        rank_shift: Mean of how many places further down the right answer is; above zero is worse.
        margin_shift: Mean change of the right answer's log-likelihood against the best wrong one's, in nats; below zero
            is worse.
        divergence: Mean Kullback-Leibler divergence of its distributions over the choices from the baseline's, in
            nats; ``None`` where not all choices' log-likelihoods are stored.
        p_chance: Two-sided test that it is right as often as guessing; ``None`` where there is no guessing.
        p_majority: Exact McNemar test against always giving the majority answer, on the same items; ``None`` likewise.
        majority_accuracy: Accuracy of the majority answer on these items.
        seconds: Time that the cell took, where it was noted.
        tokens: How many tokens were read, where it was noted.
        dropped: How many items the model could not be asked, by reason; they are not among ``items``.
        named: The first of these items by their ids, as text, by reason.
        cut: How many items have a context that lost its beginning, as the model does not read as many tokens.
        not_numbers: How many items were answered by something other than numbers; none of them counts as right.
    """

    model: str
    recipe: str
    task: str
    items: int
    accuracy: Estimate
    drop: Estimate | None = None
    p_value: float | None = None
    p_holm: float | None = None
    retained: Estimate | None = None
    forgotten: int | None = None
    gained: int | None = None
    flips: float | None = None
    prediction_flips: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    relations: int | None = None
    p_relations: float | None = None
    p_relations_holm: float | None = None
    noise_floor: float | None = None
    gained_share: Estimate | None = None
    rank_shift: float | None = None
    margin_shift: float | None = None
    divergence: float | None = None
    p_chance: float | None = None
    p_majority: float | None = None
    majority_accuracy: float | None = None
    tokens: int | None = None
    named: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    not_numbers: int = 0

    @property
    def retained_estimate(self) -> Estimate | None:
        """What is retained with its interval; all for the baseline, ``None`` where nothing can be said."""
        return Estimate(1.0, 1.0, 1.0) if self.recipe == BASELINE else self.retained

    @property
    def verdict(self) -> Verdict | None:
        """Whether the drop is real; ``None`` where there is nothing to compare with.

        It is where McNemar's test says so at 5% after the correction, and the whole interval is beyond the noise floor.
        """
        if self.p_holm is None or self.drop is None:
            return None
        floor = self.noise_floor or 0.0
        if self.p_holm >= SIGNIFICANT or not (self.drop.low > floor or self.drop.high < -floor):
            return "unclear"
        return "lost" if self.drop.low > floor else "gained"

    @property
    def right(self) -> int:
        """Number of items answered right."""
        return round(self.accuracy.value * self.items)

    @property
    def is_significant(self) -> bool:
        """Whether the drop is beyond chance and the noise floor."""
        return self.verdict in ("lost", "gained")

    @property
    def holds_elsewhere(self) -> bool | None:
        """Whether other relations would show a drop, too, at 5% after the correction; ``None`` where not tested."""
        return None if self.p_relations_holm is None else self.p_relations_holm < SIGNIFICANT
