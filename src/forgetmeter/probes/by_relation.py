"""Relations of probes: counts and metric means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Protocol, runtime_checkable

from forgetmeter.basics.plural import listed
from forgetmeter.records.item import Item
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.specs.task_name import ALL, TaskName, TaskOption

MACRO = "_macro"
RELATIONS = TaskOption(ALL, "Only these relations, joined by +.", kind="list", example="P19+P36")
TEMPLATES = TaskOption(
    ALL, "Only these templates of each relation, by 0-based number, joined by +.", kind="list", example="0+1"
)


@dataclass(frozen=True)
class RelationCounts:
    """Counts of a relation's questions.

    Attributes:
        relation: Its name.
        label: What it means, in words; empty if the data does not say.
        prompt: Its templates, or the source of its sentences.
        read: Number of questions in its file, before filters and limit.
        dropped: Number of questions each filter dropped, by reason; includes filters that dropped none.
    """

    relation: str
    label: str
    prompt: str
    read: int
    dropped: Mapping[str, int]

    @property
    def items(self) -> int:
        """Number of questions after filtering, before any limit."""
        return self.read - sum(self.dropped.values())


@runtime_checkable
class CountsRelations(Protocol):
    """A task with relations."""

    @property
    def relations(self) -> Sequence[RelationCounts]:
        """Counts per relation, in the task's order."""
        ...


def dropped_in_all(relations: Iterable[RelationCounts]) -> dict[str, int]:
    """Return the total number of questions each filter dropped."""
    totals: dict[str, int] = {}
    for each in relations:
        for reason, number in each.dropped.items():
            totals[reason] = totals.get(reason, 0) + number
    return totals


def relation_means(metrics: Iterable[tuple[str, Mapping[str, float]]]) -> dict[str, float]:
    """Return the mean of each metric over all items that have it and, as ``<name>_macro``, over relations.

    ``metrics`` has each item's relation and metrics. A relation's value is the mean over its items; relations without
    the metric are left out.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for relation, named in metrics:
        for name, value in named.items():
            values.setdefault(name, {}).setdefault(relation, []).append(value)
    means = {}
    for name, by_relation in values.items():
        lists = by_relation.values()
        means[name] = fsum(map(fsum, lists)) / sum(map(len, lists))
        means[f"{name}{MACRO}"] = fsum(fsum(one) / len(one) for one in lists) / len(by_relation)
    return means


def missing_templates(name: TaskName, relations: Mapping[str, Mapping[int, str]]) -> list[str]:
    """Return a problem for each requested template that some relation lacks, with those that all relations have.

    Args:
        name: The task's name.
        relations: The templates of each relation by number.
    """
    problems = []
    for number in name.listed("templates") or ():
        lacking = [relation for relation, templates in relations.items() if number not in map(str, templates)]
        if lacking:
            allowed = ", ".join(map(str, sorted(set.intersection(*map(set, relations.values())))))
            where = f"no template {number} in {listed(lacking, 1)} (allowed: {allowed})"
            problems.append(f"option templates of task '{name.base}': {where}")
    return problems


def template_judgement(judged: Sequence[tuple[Item, Outcome]], primary: str) -> Judgement:
    """Return the outcomes with metric means over items, over relations, and per template.

    Args:
        judged: The answered items with their outcomes; each item has fields ``relation`` and ``template``.
        primary: The metric of ``Outcome.correct``; ``<primary>_template_0`` and so on are its means per template.
    """
    metrics = relation_means((item.fields["relation"], outcome.metrics) for item, outcome in judged)
    for template in sorted({item.fields["template"] for item, _ in judged}, key=int):
        right = [bool(outcome.correct) for item, outcome in judged if item.fields["template"] == template]
        metrics[f"{primary}_template_{template}"] = sum(right) / len(right)
    return Judgement(tuple(outcome for _, outcome in judged), metrics)
