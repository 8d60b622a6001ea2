"""Ledger of a recipe on a task: whether each item was kept, forgotten, gained, or wrong before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from forgetmeter.runs.content.ledger_items import LedgerItem

Status = Literal["kept", "forgotten", "gained", "wrong"]
STATUSES: tuple[Status, ...] = ("kept", "forgotten", "gained", "wrong")
Fate = Literal["still near", "other phrasing", "lost"]
FATES: tuple[Fate, ...] = ("still near", "other phrasing", "lost")
TOP = 5
"""A right answer of at most this rank counts as still near."""
ENOUGH_CHOICES = 2 * TOP
"""With at most this many choices, being among the first five says nothing."""

_UNKNOWN = "unknown"
POPULARITY_TERCILES = ("rare", "medium", "popular")
MARGIN_TERCILES = ("narrow", "medium", "wide")


@dataclass(frozen=True)
class LedgerEntry:
    """One item.

    Attributes:
        status: ``kept`` and ``forgotten`` were right before, ``gained`` and ``wrong`` were not.
        fate: For forgotten items, the first that applies: ``still near`` if the right answer is among the first five;
            ``other phrasing`` if the same fact is still answered correctly in another phrasing; else ``lost``. ``None``
            for other items, and if unknown: no other phrasing, and at most ten choices or an unknown number.
        statement: The question, as text.
        subject: The fact's subject; ``None`` if the task does not give it.
        relation: The fact's relation, likewise.
        relation_label: The relation's label, likewise.
        gold: The right answer.
        before: The baseline's answer.
        after: The variant's answer.
        rank_before: Rank of the right answer under the baseline.
        rank_after: Rank of the right answer under the variant.
        margin_before: Log-likelihood of the right answer minus that of the best wrong one, in nats.
        margin_after: The same under the variant.
        popularity: Popularity of the subject; ``None`` if the task does not give it.
        popularity_tercile: ``rare``, ``medium`` or ``popular`` within its relation; ``None`` if unknown.
        margin_tercile: ``narrow``, ``medium`` or ``wide`` among items that the baseline gets right, else ``None``.
    """

    item_id: str
    status: Status
    fate: Fate | None
    statement: str
    subject: str | None
    relation: str | None
    relation_label: str | None
    gold: str
    before: str
    after: str
    rank_before: int | None
    rank_after: int | None
    margin_before: float | None
    margin_after: float | None
    popularity: float | None
    popularity_tercile: str | None
    margin_tercile: str | None


def surest_first(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """Return entries by the baseline's margin: the loss of what it was surest of is the most surprising."""
    return sorted(entries, key=lambda entry: -(entry.margin_before or 0.0))


@dataclass(frozen=True)
class LedgerCount:
    """Number of items of a group by status.

    Attributes:
        group: The relation, or the name of a tercile.
        label: The relation's label, or the group itself.
        kept: Right before and after.
        forgotten: Right before only.
        gained: Right after only.
        wrong: Right neither before nor after.
    """

    group: str
    label: str
    kept: int
    forgotten: int
    gained: int
    wrong: int

    @property
    def items(self) -> int:
        """Number of items."""
        return self.kept + self.forgotten + self.gained + self.wrong

    @property
    def retained(self) -> float | None:
        """Share of the known items that are kept; ``None`` if none was known."""
        known = self.kept + self.forgotten
        return self.kept / known if known else None


@dataclass(frozen=True)
class Ledger:
    """What one recipe did to every item of a task.

    Attributes:
        entries: One per item, in the task's order.
        total: Counts over all entries.
        by_relation: Counts by relation, most forgotten first; empty if the task has no relations.
        by_popularity: Counts by popularity tercile within the relation; empty if popularity is unknown.
        by_margin: Counts by tercile of the baseline's margin, over the items that it gets right.
        fates: Number of forgotten items by fate; empty if all fates are unknown.
        has_items: Whether the task's items are stored, not only the answers.
    """

    model: str
    recipe: str
    task: str
    entries: tuple[LedgerEntry, ...]
    total: LedgerCount
    by_relation: tuple[LedgerCount, ...]
    by_popularity: tuple[LedgerCount, ...]
    by_margin: tuple[LedgerCount, ...]
    fates: tuple[tuple[Fate, int], ...]
    has_items: bool = True


def make_ledger(model: str, recipe: str, task: str, items: Sequence[LedgerItem], *, has_items: bool = True) -> Ledger:
    """Return the ledger of a recipe, given the items that both it and the baseline answered."""
    phrased = _right_by_fact(items)
    terciles = _terciles(items)
    entries = tuple(_entry(item, phrased, *each) for item, each in zip(items, terciles, strict=True))
    fates = [entry.fate for entry in entries if entry.fate is not None]
    return Ledger(
        model=model,
        recipe=recipe,
        task=task,
        entries=entries,
        total=_count("all", "all", entries),
        by_relation=tuple(
            sorted(_grouped(entries, lambda entry: entry.relation), key=lambda each: (-each.forgotten, -each.items))
        ),
        by_popularity=_in_order(_grouped(entries, lambda entry: entry.popularity_tercile), POPULARITY_TERCILES),
        by_margin=_in_order(_grouped(entries, lambda entry: entry.margin_tercile), MARGIN_TERCILES),
        fates=tuple((fate, fates.count(fate)) for fate in FATES) if fates else (),
        has_items=has_items,
    )


def _entry(
    item: LedgerItem, phrased: dict[tuple[str, str], set[str]], popularity: str | None, margin: str | None
) -> LedgerEntry:
    status = _status(item)
    return LedgerEntry(
        item_id=item.item_id,
        status=status,
        fate=_fate(item, phrased) if status == "forgotten" else None,
        statement=item.statement,
        subject=item.subject,
        relation=item.relation,
        relation_label=item.relation_label,
        gold=item.gold,
        before=item.before.prediction,
        after=item.after.prediction,
        rank_before=item.before.rank,
        rank_after=item.after.rank,
        margin_before=item.before.margin,
        margin_after=item.after.margin,
        popularity=item.popularity,
        popularity_tercile=popularity,
        margin_tercile=margin,
    )


def _status(item: LedgerItem) -> Status:
    if item.before.correct:
        return "kept" if item.after.correct else "forgotten"
    return "gained" if item.after.correct else "wrong"


def _fate(item: LedgerItem, phrased: dict[tuple[str, str], set[str]]) -> Fate | None:
    has_ranks = item.choices is None or item.choices > ENOUGH_CHOICES
    if has_ranks and item.after.rank is not None and item.after.rank <= TOP:
        return "still near"
    if item.fact in phrased and item.fact is not None:
        right = phrased[item.fact]
        return "other phrasing" if right - {item.item_id} else "lost"
    return "lost" if has_ranks else None


def _right_by_fact(items: Iterable[LedgerItem]) -> dict[tuple[str, str], set[str]]:
    """Return, for each fact asked in several phrasings, the items that the variant gets right."""
    asked: dict[tuple[str, str], int] = {}
    right: dict[tuple[str, str], set[str]] = {}
    for item in items:
        if item.fact is not None:
            asked[item.fact] = asked.get(item.fact, 0) + 1
            right.setdefault(item.fact, set())
            if item.after.correct:
                right[item.fact].add(item.item_id)
    return {fact: ids for fact, ids in right.items() if asked[fact] > 1}


def _terciles(items: Sequence[LedgerItem]) -> list[tuple[str | None, str | None]]:
    popularity: dict[str, str] = {}
    relations: dict[str | None, list[LedgerItem]] = {}
    for item in items:
        if item.popularity is not None:
            relations.setdefault(item.relation, []).append(item)
    for group in relations.values():
        popularity |= _thirds(group, lambda item: item.popularity or 0.0, POPULARITY_TERCILES)
    known = [item for item in items if item.before.correct and item.before.margin is not None]
    margin = _thirds(known, lambda item: item.before.margin or 0.0, MARGIN_TERCILES)
    return [(popularity.get(item.item_id), margin.get(item.item_id)) for item in items]


def _thirds(
    items: Sequence[LedgerItem], value: Callable[[LedgerItem], float], names: tuple[str, ...]
) -> dict[str, str]:
    """Return the tercile of each item; items with equal values share one."""
    ordered = sorted(map(value, items))
    first: dict[float, int] = {}
    for place, each in enumerate(ordered):
        first.setdefault(each, place)
    return {item.item_id: names[first[value(item)] * len(names) // len(ordered)] for item in items}


def _grouped(entries: Iterable[LedgerEntry], key: Callable[[LedgerEntry], str | None]) -> list[LedgerCount]:
    groups: dict[str | None, list[LedgerEntry]] = {}
    for entry in entries:
        groups.setdefault(key(entry), []).append(entry)
    if set(groups) <= {None}:
        return []
    return [
        _count(group or _UNKNOWN, members[0].relation_label if group == members[0].relation else group, members)
        for group, members in groups.items()
        if group is not None or key(members[0]) is None
    ]


def _count(group: str, label: str | None, entries: Sequence[LedgerEntry]) -> LedgerCount:
    numbers = dict.fromkeys(STATUSES, 0)
    for entry in entries:
        numbers[entry.status] += 1
    return LedgerCount(group, label or group, **numbers)


def _in_order(counts: Iterable[LedgerCount], names: Sequence[str]) -> tuple[LedgerCount, ...]:
    return tuple(sorted((each for each in counts if each.group in names), key=lambda each: names.index(each.group)))
