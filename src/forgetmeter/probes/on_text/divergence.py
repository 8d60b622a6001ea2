"""Divergence of a variant's predictions from its baseline's, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from forgetmeter.probes.declaration import Metric, TaskDeclaration
from forgetmeter.probes.on_text.text_file import FILE, WINDOW, check_text_file, text_items
from forgetmeter.records.item import Answer, ComparedAnswer, ComparedText, Item
from forgetmeter.records.outcome import Judgement, Outcome, measured_outcome
from forgetmeter.specs.task_name import TaskName

DIVERGENCE = "divergence"
AGREEMENT = "agreement"
LN_PERPLEXITY_RATIO = "ln_perplexity_ratio"
LARGEST = "divergence_max"
TOKENS = "tokens"

METRICS = (
    Metric(
        DIVERGENCE,
        "KL",
        "mean over tokens of KL(baseline ‖ variant), the Kullback-Leibler divergence of their predictions of the next "
        "token, in nats; the baseline's own, between batches of different shapes, is due to rounding alone",
        weight=TOKENS,
    ),
    Metric(
        AGREEMENT,
        "top-1",
        "share of tokens for which the variant's most likely next token is the baseline's",
        weight=TOKENS,
        is_share=True,
    ),
    Metric(
        LN_PERPLEXITY_RATIO,
        "ln ppl ratio",
        "logarithm of the variant's perplexity divided by the baseline's, per token",
        weight=TOKENS,
        is_signed=True,
    ),
    Metric("divergence_median", "median", "median of the divergence over tokens", quantile=0.5),
    Metric("divergence_p90", "90%", "90th percentile of the divergence over tokens", quantile=0.9),
    Metric("divergence_p99", "99%", "99th percentile", quantile=0.99),
    Metric("divergence_p99_9", "99.9%", "99.9th percentile", quantile=0.999),
    Metric(LARGEST, "largest", "the largest divergence at a token"),
)


SHIPPED = Path(__file__).with_name("divergence_text.jsonl")
"""Prose of this project's documentation, version 0.2.0 (docs/decisions/032-divergence.md)."""


class DivergenceTask:
    """How far a variant's predictions of a text are from its baseline's; the items are those of ``PerplexityTask``.

    Args:
        limit: Only the first N texts; ``None`` for all.

    Attributes:
        items: The texts, in file order.

    Raises:
        UserError: The named file does not exist or contains no text.
    """

    def __init__(self, name: TaskName, *, limit: int | None = None) -> None:
        self.items, self.description = text_items(name, _text_file(name), ComparedText, limit=limit, metric=DIVERGENCE)

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Compute the means and quantiles over the tokens of all texts."""
        outcomes = [
            _outcome(item, answer)
            for item, answer in zip(self.items, answers, strict=True)
            if isinstance(answer, ComparedAnswer)
        ]
        return Judgement(tuple(outcomes), _metrics(outcomes) if outcomes else {})


def _text_file(name: TaskName) -> Path:
    return check_text_file(name) if name.value("file") else SHIPPED


def _outcome(item: Item, answer: ComparedAnswer) -> Outcome:
    tokens = len(answer.divergences)
    metrics = {
        DIVERGENCE: math.fsum(answer.divergences) / tokens,
        AGREEMENT: sum(answer.agreements) / tokens,
        LN_PERPLEXITY_RATIO: math.fsum(map(float.__sub__, answer.baseline_logprobs, answer.logprobs)) / tokens,
        TOKENS: tokens,
    }
    return measured_outcome(item.id, math.fsum(answer.logprobs), metrics, token_values=answer.divergences)


def _metrics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    weights = [outcome.metrics[TOKENS] for outcome in outcomes]
    values = np.array([value for outcome in outcomes for value in outcome.token_values])
    means = {
        metric.name: float(np.average([outcome.metrics[metric.name] for outcome in outcomes], weights=weights))
        for metric in METRICS
        if metric.weight
    }
    # The smallest value that at least this share of the tokens does not exceed; others would lie between two values.
    quantiles = {
        metric.name: float(np.quantile(values, metric.quantile, method="inverted_cdf"))
        for metric in METRICS
        if metric.quantile is not None
    }
    return {**means, **quantiles, LARGEST: float(values.max())}


TASK = TaskDeclaration(
    name="divergence",
    load=DivergenceTask,
    check=_text_file,
    options={
        "file": replace(
            FILE, meaning=f"{FILE.meaning.removesuffix('.')}; by default, a text that ships with the package."
        ),
        "window": WINDOW,
    },
    thing="text",
    is_measured=True,
    metrics=METRICS,
)
