"""Tells whether two items ask the same, so that they would count twice as evidence."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations

from forgetmeter.records.generation import Generation
from forgetmeter.records.item import Cloze, Item, Requests

_MOST_SHARED = 0.1
"""Share of the smaller task's questions that two tasks may have in common."""


def question_key(item: Item) -> Hashable:
    """Return a key that is equal for items with the same question and right answers; ``None`` if there are none.

    Neither spaces around a text nor the order of the choices make another question.
    """
    right = frozenset(item.choices[index].strip() for index in item.gold)
    match item.asks:
        case Cloze(before, after, among):
            return before.strip(), after.strip(), among, right
        case Requests():
            return frozenset((each.context.strip(), each.continuation.strip()) for each in item.asks), right
        case Generation(context):
            return context.strip(), right
    return None


def shared_questions(tasks: Mapping[str, Sequence[Item]], new: Iterable[str]) -> dict[tuple[str, str], int]:
    """Return the pairs of tasks that share more than a tenth of the smaller one's questions, with their number.

    Args:
        tasks: The items by task.
        new: Tasks that are compared with all others.
    """
    keys = {name: {key for item in items if (key := question_key(item)) is not None} for name, items in tasks.items()}
    compared = set(new)
    found = {
        (one, other): len(keys[one] & keys[other]) for one, other in combinations(tasks, 2) if compared & {one, other}
    }
    return {
        (one, other): shared
        for (one, other), shared in found.items()
        if shared > _MOST_SHARED * min(len(keys[one]), len(keys[other]))
    }
