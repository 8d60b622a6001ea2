"""Putting together what was answered of facts that are asked by several templates each."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.probes.relation_means import relation_means
from forgetmeter.records.item import Item
from forgetmeter.records.outcome import Judgement, Outcome


def template_judgement(judged: Sequence[tuple[Item, Outcome]], primary: str) -> Judgement:
    """Return the outcomes with their means over items, over relations, and over the items of each template.

    Args:
        judged: The answered items with their outcomes; each item has fields ``relation`` and ``template``.
        primary: The metric that ``Outcome.correct`` follows; ``<primary>_template_0`` and so on are its means over the
            items of one template each.
    """
    metrics = relation_means((item.fields["relation"], outcome.metrics) for item, outcome in judged)
    for template in sorted({item.fields["template"] for item, _ in judged}, key=int):
        right = [bool(outcome.correct) for item, outcome in judged if item.fields["template"] == template]
        metrics[f"{primary}_template_{template}"] = sum(right) / len(right)
    return Judgement(tuple(outcome for _, outcome in judged), metrics)
