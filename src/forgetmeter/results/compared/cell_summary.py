"""Summary of one variant on one task, compared with the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.paired import CONFIDENCE, Estimate

SIGNIFICANT = 1 - CONFIDENCE
DropVerdict = Literal["lost", "gained", "unclear"]


@dataclass(frozen=True)
class CellSummary:
    """One variant on one task; comparisons are ``None`` without the baseline's outcomes.

    Intervals are at 95%: over relations if the task has at least five, else over items.

    Attributes:
        items: Number of items.
        accuracy: Share of right answers, with the Wilson interval.
        paired: Number of items that the baseline answered, too; comparisons with it are over these.
        drop: Accuracy of the baseline minus that of the variant, on the same items.
        p_value: Exact McNemar test of no change.
        p_holm: ``p_value``, corrected by Holm for all comparisons of the run.
        relations: Number of relations that the intervals are over; ``None`` for intervals over items.
        p_relations: t test over relations that the drop is zero; ``None`` for intervals over items.
        p_relations_holm: ``p_relations``, corrected by Holm for all such comparisons of the run.
        noise_floor: Share of items that change when the baseline is scored twice; ``None`` if not measured.
        verdict: ``lost`` or ``gained`` if the drop is significant, else ``unclear``.
        retained: Share of the known items that are still right; ``None`` if the baseline knew none.
        forgotten: Number of items that the baseline got right and that are wrong now.
        gained: Number of items that the baseline got wrong and that are right now.
        gained_share: ``gained`` as a share of the items that the baseline got wrong; ``None`` if it had none.
        flips: Share of items whose correctness changed.
        prediction_flips: Share of items whose prediction changed; ``None`` if no prediction is known.
        metrics: The task's aggregated metrics by name.
        rank_shift: Mean increase of the right answer's rank; above zero is worse.
        margin_shift: Mean change of the right answer's log-likelihood minus that of the best wrong one, in nats; below
            zero is worse.
        divergence: Mean Kullback-Leibler divergence of its distributions over the choices from the baseline's, in
            nats; ``None`` if not all choices' log-likelihoods are stored.
        chance: Accuracy of random choice on these items; ``None`` if one of them has nothing to choose from.
        p_chance: Two-sided test that it is right as often as guessing; ``None`` likewise.
        p_majority: Exact McNemar test against always giving the majority answer, on the same items; ``None`` likewise.
        majority_accuracy: Accuracy of always giving the answer that is most often right in an item's relation or,
            without relations, at the position that is most often right, among these items.
        seconds: Duration of scoring; ``None`` if not recorded.
        tokens: Number of tokens that the model read, and wrote; ``None`` if not recorded.
        dropped: Number of items that the model could not be scored on, by reason; not included in ``items``.
        named: Ids of the first dropped items, as text, by reason.
        cut: Number of items whose context was truncated on the left to the model's maximum length.
        not_numbers: Number of items whose logits were NaN or infinite; they count as wrong.
        precision: If the cell stopped early because the drop was known to within plus or minus this: the intervals of
            the drop, of ``retained`` and of ``gained_share``, and the p-values, are then valid wherever it stops.
        margin: If it was to stop once it was certain whether the drop is at most this. If it did, ``precision`` is the
            same; if not, the intervals allow for it too.
        is_timed: Whether ``seconds`` is the time of all of the variant's computation, so that its speed can be
            compared.
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
    chance: float | None = None
    p_chance: float | None = None
    p_majority: float | None = None
    majority_accuracy: float | None = None
    tokens: int | None = None
    named: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    not_numbers: int = 0
    paired: int | None = None
    precision: float | None = None
    margin: float | None = None
    is_timed: bool = True

    @property
    def retained_estimate(self) -> Estimate | None:
        """Retained share with its interval; 1 for the baseline, ``None`` if undefined."""
        return Estimate(1.0, 1.0, 1.0) if self.recipe == BASELINE else self.retained

    @property
    def verdict(self) -> DropVerdict | None:
        """Whether the drop is significant; ``None`` without a baseline.

        It is if the Holm-corrected p of the McNemar test is below 0.05 and the whole interval is beyond zero and the
        noise floor.
        """
        if self.p_holm is None or self.drop is None:
            return None
        floor = self.noise_floor or 0.0
        if self.p_holm >= SIGNIFICANT or not (self.drop.low > floor or self.drop.high < -floor):
            return "unclear"
        return "lost" if self.drop.low > floor else "gained"

    @property
    def aim(self) -> float | None:
        """The difference that intervals valid at any stopping time are tuned for; ``None`` if they need not be."""
        return self.margin if self.precision is None else self.precision

    @property
    def stopped_at_margin(self) -> bool:
        """Whether it stopped early at a margin: then its drop leans away from the margin."""
        return self.precision is not None and self.margin is not None

    @property
    def stop_option(self) -> str:
        """The option by which it stopped early; empty if it did not."""
        if self.precision is None:
            return ""
        return "--precision" if self.margin is None else "--margin"

    @property
    def right(self) -> int:
        """Number of items answered right."""
        return round(self.accuracy.value * self.items)

    @property
    def is_guessing(self) -> bool:
        """Whether it is not significantly better than guessing; false if guessing is undefined."""
        if self.p_chance is None or self.chance is None:
            return False
        return self.p_chance >= SIGNIFICANT or self.accuracy.value <= self.chance

    @property
    def is_significant(self) -> bool:
        """Whether the drop is significant (see ``verdict``)."""
        return self.verdict in ("lost", "gained")

    @property
    def holds_elsewhere(self) -> bool | None:
        """Whether other relations would also show a drop (corrected test at 5%); ``None`` if not tested."""
        return None if self.p_relations_holm is None else self.p_relations_holm < SIGNIFICANT
