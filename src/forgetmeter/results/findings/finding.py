"""Claims, and the results of testing them on a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forgetmeter.statistics.paired import Estimate

Verdict = Literal["supported", "contradicted", "inconclusive", "not tested"]
VERDICTS: tuple[Verdict, ...] = ("supported", "contradicted", "inconclusive", "not tested")


@dataclass(frozen=True)
class TaskResult:
    """A claim tested on one model and one task.

    Attributes:
        effect: In the claim's unit, above its threshold if as claimed, with its 95% interval; ``None`` if not tested.
        p_value: Two-sided p-value that the effect equals the claim's threshold, not corrected.
        recipes: The compared recipes, as text.
        detail: A phrase of further detail, or empty.
        missing: What is missing for a test; empty if tested.
    """

    task: str
    effect: Estimate | None = None
    p_value: float | None = None
    recipes: tuple[str, ...] = ()
    detail: str = ""
    missing: str = ""


@dataclass(frozen=True)
class ModelResult:
    """A claim tested on one model.

    Attributes:
        verdict: The verdict on this model.
        effect: Mean of the tasks' effects, with its 95% interval; ``None`` if none was tested.
        p_value: Two-sided p-value, not corrected.
        p_holm: The p-value, corrected by Holm for all claims and models tested in the run.
        tasks: One result per task.
        missing: What is missing for a test; empty if tested.
    """

    model: str
    verdict: Verdict
    effect: Estimate | None = None
    p_value: float | None = None
    p_holm: float | None = None
    tasks: tuple[TaskResult, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim, and how it is tested.

    Attributes:
        name: Identifier, such as ``overall_hurts_most``.
        sentence: The claim in one sentence.
        source: Who makes it.
        question: The exact question to the run.
        test: How it is answered: the effect and its test.
        unit: What the effect is a difference of, such as ``retained``; a share, unless stated otherwise.
        threshold: What the effect is compared with, in the same unit.
    """

    name: str
    sentence: str
    source: str
    question: str
    test: str
    unit: str
    threshold: float = 0.0


@dataclass(frozen=True)
class Finding:
    """A claim, tested on a run.

    Attributes:
        results: One per model, in the study's order.
        verdict: ``supported`` or ``contradicted`` if at least one model says so and none says the opposite;
            ``inconclusive`` if models disagree or none is clear; ``not tested`` if none was.
        missing: What is missing for a test; empty if tested.
    """

    claim: Claim
    results: tuple[ModelResult, ...]
    verdict: Verdict
    missing: str = ""

    @property
    def name(self) -> str:
        """The claim's name."""
        return self.claim.name
