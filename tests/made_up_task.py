"""A made-up task for tests of running: short questions about made-up words, answered by the likelier choice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from forgetmeter.records.item import Item, Request, Requests, RequestScore, TaskDescription
from forgetmeter.records.outcome import Judgement, Outcome

SIZE = 30


def plug_in(monkeypatch: pytest.MonkeyPatch, tasks: Mapping[str, Any]) -> None:
    """Install plug-in tasks, declarations or functions, by entry-point name."""
    points = [
        SimpleNamespace(name=name, value=f"made_up:{name}", load=lambda task=task: task) for name, task in tasks.items()
    ]
    monkeypatch.setattr(
        "forgetmeter.specs.registry.plug_ins", lambda group: tuple(points) if group == "forgetmeter.tasks" else ()
    )


class MadeUpTask:
    def __init__(self, limit: int | None = None, *, name: str = "made_up") -> None:
        self.description = TaskDescription(name, "1", "made up for tests", "acc", SIZE)
        self.items = [self._item(name, index) for index in range(min(limit or SIZE, SIZE))]

    def judge(self, scores: Sequence[Sequence[RequestScore]]) -> Judgement:
        outcomes = []
        for item, (first, second) in zip(self.items, scores, strict=True):
            prediction = int(second.loglikelihood > first.loglikelihood)
            values = (first.loglikelihood, second.loglikelihood)
            margin = values[item.gold[0]] - values[1 - item.gold[0]]
            correct = prediction == item.gold[0]
            outcomes.append(
                Outcome(
                    item.id,
                    correct,
                    item.choices[prediction],
                    item.choices[item.gold[0]],
                    2 - correct,
                    margin,
                    values,
                )
            )
        return Judgement(tuple(outcomes), {"acc": sum(o.correct for o in outcomes) / len(outcomes)})

    def _item(self, name: str, index: int) -> Item:
        context = f"the thing {index * 7919 % 101} in the inn is"
        requests = Requests([Request(context, " thin"), Request(context, " tin")])
        digest = hashlib.sha256(context.encode()).hexdigest()[:16]
        return Item(f"{name}/{index}", digest, requests, ("thin", "tin"), (index % 2,))
