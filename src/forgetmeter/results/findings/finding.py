"""What came of testing a claim on a run."""

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
        task: The task.
        effect: In the finding's unit, above zero where it is as claimed, with its 95% interval; ``None`` where it was
            not tested.
        p_value: Two-sided, that the effect is zero (or the finding's threshold); not corrected.
        recipes: What was compared, as text.
        detail: What else there is to say of it, a phrase; may be empty.
        missing: What is missing for a test; empty where it was tested.
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
        model: The model, as text.
        verdict: What came of it.
        effect: Mean of the tasks' effects, with its 95% interval; ``None`` where none was tested.
        p_value: Two-sided; not corrected.
        p_holm: The same, corrected by Holm for all claims and models tested in the run.
        tasks: One a task.
        missing: What is missing for a test; empty where it was tested.
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
    """What is claimed, and how it is tested.

    Attributes:
        name: Short, for programs, such as ``overall_hurts_most``.
        sentence: What is claimed.
        source: Who claims it.
        question: What exactly is asked of the run.
        test: How it is answered: the effect and its test.
        unit: What the effect is a difference of, such as ``retained``; a share, where nothing else is said.
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
    """A claim, and what a run says of it.

    Attributes:
        claim: The claim, its question and its test.
        results: One a model, in the study's order.
        verdict: Overall: ``supported`` or ``contradicted`` where at least one model says so and none the other;
            ``inconclusive`` where models disagree or none is clear; ``not tested`` where none was.
        missing: What is missing for a test; empty where it was tested.
    """

    claim: Claim
    results: tuple[ModelResult, ...]
    verdict: Verdict
    missing: str = ""

    @property
    def name(self) -> str:
        """The claim's name."""
        return self.claim.name
