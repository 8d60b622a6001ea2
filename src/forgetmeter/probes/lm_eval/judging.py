"""How lm-evaluation-harness judges answers to requests; does not import it, since its logs are read without it."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forgetmeter.probes.cloze import NOTHING_SAID, Ranked, ranked_outcome, whole_hash
from forgetmeter.records.item import Item, RequestScore, RequestScores
from forgetmeter.records.outcome import Outcome

SHARES = ("acc", "exact_match", "acc_norm")
"""Metrics that are shares of right answers, in the order in which they decide whether an answer is right."""


@dataclass(frozen=True)
class Answered:
    """A text that a model wrote.

    Attributes:
        text: The whole text.
        filtered: What the task's filter made of it: the answer that counts, or a list of them.
    """

    text: str
    filtered: object


def primary_metric(metrics: Sequence[str], lower: Collection[str] = ()) -> str:
    """Return which of a task's metrics decides whether an answer is right.

    Args:
        metrics: All of them in the task's order, at least one.
        lower: Those that are better if they are lower, of which 1 is not a right answer; they come last.
    """
    ordered = [*(each for each in metrics if each not in lower), *(each for each in metrics if each in lower)]
    return next((metric for metric in SHARES if metric in metrics and metric not in lower), ordered[0])


def lower_is_better(directions: object) -> frozenset[str]:
    """Return the metrics that are better if they are lower, given lm-eval's ``higher_is_better`` of a task."""
    known = directions.items() if isinstance(directions, Mapping) else ()
    return frozenset(str(name) for name, is_higher in known if is_higher is False)


def is_measured(values: Iterable[float]) -> bool:
    """Return whether the main metric of a task measures answers, given its values for single items.

    It does unless each is 0 for a wrong or 1 for a right answer. NaN and infinity say nothing.
    """
    return any(math.isfinite(value) and value not in (0.0, 1.0) for value in values)


def measured(outcome: Outcome) -> Outcome:
    """Return the outcome of an item of a task whose main metric measures answers: neither right nor wrong."""
    return replace(outcome, correct=None, rank=None, margin=None)


def unplaced(outcome: Outcome) -> Outcome:
    """Return the outcome of an item whose prediction, rank and margin are unknown."""
    return replace(outcome, prediction="", rank=None, margin=None)


def deciding_metric(
    metrics: Sequence[str], tried: Sequence[Mapping[str, float]], lower: Collection[str]
) -> tuple[str, bool]:
    """Return the main metric of a task that is answered by texts, and whether it measures answers.

    It is one that judges answers, if there is one.

    Args:
        metrics: All of them in the task's order, at least one.
        tried: The metrics of single answers.
        lower: The metrics that are better if they are lower; none of them judges.
    """
    single = [name for name in metrics if all(name in each for each in tried)]
    judging = [name for name in single if name not in lower and not is_measured(each[name] for each in tried)]
    return primary_metric(judging or single or metrics, lower), not judging


def generated_outcome(
    item_id: str, answer: Answered, gold: str, metrics: Mapping[str, float], *, primary: str
) -> Outcome:
    """Return the outcome of an item that is answered by a text.

    Args:
        gold: The right answers as text.
        metrics: lm-eval's metrics for it.
        primary: The metric that decides ``correct``.
    """
    said = answer.filtered
    return Outcome(
        item_id=item_id,
        correct=metrics.get(primary) == 1.0,
        prediction=" / ".join(map(str, said)) if isinstance(said, list | tuple) else str(said),
        gold=gold,
        rank=None,
        margin=None,
        loglikelihoods=(),
        metrics=metrics,
        generated=answer.text,
    )


def request_outcome(
    item: Item, answer: RequestScores, metrics: Mapping[str, float], *, primary: str, is_completion: bool
) -> Outcome:
    """Return the outcome of an item, given lm-eval's metrics for it.

    Args:
        primary: The metric that decides ``correct``; if it has no value, or one that is neither 0 nor 1, the likeliest
            choice does.
        is_completion: Whether the only request is the right answer, as for the output type ``loglikelihood``.
    """
    decided = metrics.get(primary)
    right = decided == 1.0 if decided in (0.0, 1.0) else None
    if not answer.is_number:
        placed = NOTHING_SAID
    elif is_completion:
        placed = Ranked(answer[0].is_greedy, item.choices[0] if answer[0].is_greedy else "", None, None)
    else:
        placed = _placed(item, answer, primary, right)
    if right is not None:
        placed = replace(placed, correct=right)
    return ranked_outcome(item, placed, [score.loglikelihood for score in answer[: len(item.choices)]], metrics)


def _placed(item: Item, answer: Sequence[RequestScore], metric: str, right: bool | None) -> Ranked:
    """Return the rank of the right answer by the measure behind ``metric``.

    A task's code may use a measure unknown here. If the metric's usual measure disagrees with ``right``, the first of
    lm-eval's other measures that agrees is used; if none agrees, the prediction is left empty.

    Args:
        metric: The primary metric.
        right: Whether that metric judged the answer right; ``None`` if its value is neither 0 nor 1.
    """
    found = measures(item.choices, answer)
    if metric == "exact_match":
        greedy = [place for place, score in enumerate(answer[: len(item.choices)]) if score.is_greedy]
        said = next((place for place in greedy if place in item.gold), greedy[0] if greedy else None)
        return Ranked(said in item.gold, "" if said is None else item.choices[said], None, None)
    named = found.pop(metric, found["acc"])
    for values in (named, *found.values()):
        best = int(np.argmax(values))
        if right is None or (best in item.gold) == right:
            return Ranked(best in item.gold, item.choices[best], *_rank_and_margin(values, item.gold))
    return NOTHING_SAID


def measures(choices: Sequence[str], answer: Sequence[RequestScore]) -> dict[str, list[float]]:
    """Return the measures that lm-eval's metrics maximize (``ConfigurableTask.process_results``, 0.4.13)."""
    values = [score.loglikelihood for score in answer]
    own = values[: len(choices)]
    measures = {"acc": own}
    if all(choices):
        measures["acc_norm"] = [value / len(choice) for value, choice in zip(own, choices, strict=True)]
        measures["acc_bytes"] = [value / len(choice.encode()) for value, choice in zip(own, choices, strict=True)]
    if len(values) == 2 * len(choices):
        measures["acc_mutual_info"] = [value - alone for value, alone in zip(own, values[len(own) :], strict=True)]
    return measures


def _rank_and_margin(values: Sequence[float], gold: Sequence[int]) -> tuple[int | None, float | None]:
    if not gold:
        return None, None
    best = max(gold, key=lambda index: (values[index], -index))
    others = [index for index in range(len(values)) if index not in gold]
    rank = 1 + sum((values[index], -index) > (values[best], -best) for index in others)
    margin = values[best] - max(values[index] for index in others) if others else math.nan
    return rank, margin if math.isfinite(margin) else None


def judging_of(task: Any) -> str:  # noqa: ANN401 - lm-eval's, untyped
    """Return a hash of a definition's metrics, filters and own processing, which decide how answers are judged."""
    settings = {name: getattr(task.config, name) for name in ("metric_list", "filter_list", "process_results")}
    text = json.dumps(settings, sort_keys=True, default=lambda value: getattr(value, "__qualname__", repr(value)))
    return whole_hash([text])
