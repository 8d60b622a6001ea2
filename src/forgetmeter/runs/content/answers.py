"""Outcomes of all variants of a model on a task as arrays, the input of all statistics."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forgetmeter.runs.content.baselines import ItemBaselines, item_baselines
from forgetmeter.runs.content.parquet_union import UnionPart
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.choice_divergence import ChoiceDistributions
from forgetmeter.statistics.resampling import FEWEST_CLUSTERS, totals_by_cluster

_READ = ("item_id", "correct", "prediction", "rank", "margin", "loglikelihoods")


@dataclass(frozen=True, eq=False)
class Clusters:
    """The sampling units of items: their relations. An item without one is a cluster of its own.

    Attributes:
        place: Index of each item's cluster, shape ``(items,)``; relations come first.
        relations: Number of clusters that are relations.
    """

    place: NDArray[np.int64]
    relations: int

    @property
    def number(self) -> int:
        """Number of clusters."""
        return int(self.place.max()) + 1

    def totals(self, marks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the number of marked items of each cluster, shape ``(variants, clusters)``.

        Args:
            marks: Shape ``(variants, items)``.
        """
        return totals_by_cluster(marks, self.place)


@dataclass(frozen=True, eq=False)
class Answers:
    """Outcomes of one model's variants on one task.

    Items are the baseline's, in its order, then those that only other variants answered.

    Attributes:
        recipes: One per variant, in the study's order.
        items: Item ids, shape ``(items,)``.
        relation: Per item, the index of its relation in ``relations``; -1 for none.
        relations: Names of the relations; empty if the task has none.
        popularity: Per item, the popularity of its subject; NaN if unknown.
        baselines: Accuracy on each item without knowledge.
        answered: Whether there is an outcome, bool, shape ``(variants, items)``.
        correct: Whether it is right, same shape; ``False`` without an outcome.
        changed: Whether the prediction differs from the baseline's, same shape.
        rank: Rank of the right answer, float32, same shape; NaN if missing.
        margin: Log-likelihood of the right answer minus that of the best wrong one, in nats, likewise.
        divergence: Divergence of the distribution over the choices from the baseline's, in nats, likewise.
        has_predictions: Whether any prediction is known; imported answers may be known only as right or wrong.
    """

    model: str
    task: str
    recipes: tuple[str, ...]
    items: NDArray[np.object_]
    relation: NDArray[np.int64]
    relations: tuple[str, ...]
    popularity: NDArray[np.float64]
    baselines: ItemBaselines
    answered: NDArray[np.bool_]
    correct: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    rank: NDArray[np.float32]
    margin: NDArray[np.float32]
    divergence: NDArray[np.float32]
    has_predictions: bool = True

    @property
    def baseline(self) -> int | None:
        """Index of the baseline among the variants; ``None`` if it has no outcomes."""
        return self.recipes.index(BASELINE) if BASELINE in self.recipes else None

    @cached_property
    def paired(self) -> NDArray[np.bool_]:
        """Whether both variant and baseline answered, shape ``(variants, items)``; all false without a baseline."""
        if self.baseline is None:
            return np.zeros_like(self.answered)
        paired: NDArray[np.bool_] = self.answered & self.answered[self.baseline]
        return paired

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the baseline is right, shape ``(items,)``; all false without a baseline."""
        return np.zeros(len(self.items), dtype=np.bool_) if self.baseline is None else self.correct[self.baseline]

    def clusters(self, among: NDArray[np.bool_] | None = None) -> Clusters | None:
        """Return the clusters of some items, by default of all; ``None`` if they are of fewer than five relations."""
        relation = self.relation if among is None else self.relation[among]
        alone = relation < 0
        names, place = np.unique(np.where(alone, len(self.relations) + np.cumsum(alone), relation), return_inverse=True)
        number = int((names < len(self.relations)).sum())
        return Clusters(place, number) if number >= FEWEST_CLUSTERS else None


def read_answers(folder: RunFolder, parts: Sequence[UnionPart], shapes: pd.DataFrame) -> tuple[Answers, ...]:
    """Return the outcomes of a run, for each model and task that has any, in the study's order.

    Args:
        parts: The outcomes files, with ``model``, ``recipe`` and ``task`` as keys, in the study's order.
        shapes: One row per item, from ``read_item_shapes``.
    """
    ranks = {key: place for place, key in enumerate(dict.fromkeys(map(_key, parts)))}
    ordered = sorted(parts, key=lambda part: ranks[_key(part)])
    by_task = {str(task): group.set_index("item_id") for task, group in shapes.groupby("task", sort=False)}
    unknown = pd.DataFrame(columns=list(shapes.columns)).set_index("item_id")
    return tuple(
        _answers(key, folder, list(group), by_task.get(key[1], unknown)) for key, group in groupby(ordered, key=_key)
    )


def _key(part: UnionPart) -> tuple[str, str]:
    return part.keys["model"], part.keys["task"]


def _tables(folder: RunFolder, parts: Sequence[UnionPart]) -> Iterator[tuple[str, pa.Table]]:
    ordered = sorted(parts, key=lambda part: part.keys["recipe"] != BASELINE)

    def read(part: UnionPart) -> pa.Table:
        return pq.read_table(io.BytesIO(folder.read(part.path)), columns=list(_READ))

    with ThreadPoolExecutor(max_workers=1) as ahead:
        # Reads only one file ahead: a large run does not fit into memory.
        coming = ahead.submit(read, ordered[0])
        for part, following in zip(ordered, [*ordered[1:], None], strict=True):
            table = coming.result()
            if following is not None:
                coming = ahead.submit(read, following)
            yield part.keys["recipe"], table


_MATRICES: Mapping[str, tuple[type, float | bool]] = {
    "answered": (np.bool_, False),
    "correct": (np.bool_, False),
    "changed": (np.bool_, False),
    "rank": (np.float32, np.nan),
    "margin": (np.float32, np.nan),
    "divergence": (np.float32, np.nan),
}
"""The dtype of each matrix, and what it holds without an outcome."""


class _Rows:
    """The matrices, filled variant by variant: a second copy of a large run's would not fit into memory."""

    def __init__(self, first: pa.Table, variants: int) -> None:
        self.ids: Any = first["item_id"].combine_chunks()
        shape = variants, len(self.ids)
        self.matrices: dict[str, NDArray[Any]] = {
            name: np.full(shape, fill, dtype) for name, (dtype, fill) in _MATRICES.items()
        }
        self.first: Any = first["prediction"].combine_chunks()
        self.distributions = ChoiceDistributions(*_flat(first["loglikelihoods"].combine_chunks()))
        self._places: dict[str, int] | None = None
        self.more: list[str] = []
        self.has_predictions = False

    def add(self, row: int, table: pa.Table) -> None:
        ids = table["item_id"].combine_chunks()
        places = None if ids.equals(self.ids) else self._find(ids)
        predictions = table["prediction"].combine_chunks()
        self.has_predictions |= bool(pc.any(pc.not_equal(predictions, "")).as_py())
        values: dict[str, NDArray[np.generic] | bool] = {
            "answered": True,
            "correct": table["correct"].to_numpy(),
            "rank": _floats(table["rank"]),
            "margin": _floats(table["margin"]),
            "changed": _different(self.first, predictions, places),
        }
        if places is None:
            divergence = self.distributions.divergence(*_flat(table["loglikelihoods"].combine_chunks()))
            values |= {} if divergence is None else {"divergence": divergence}
        for name, of_items in values.items():
            self.matrices[name][row, slice(len(self.ids)) if places is None else places] = of_items

    def _find(self, ids: Any) -> NDArray[np.int64]:  # noqa: ANN401 - of arrow
        # The variants of a run have the same items, unless somebody assembled the run by hand.
        if self._places is None:
            self._places = {item: place for place, item in enumerate(self.ids.to_pylist())}
        for item in ids.to_pylist():
            if item not in self._places:
                self._places[item] = len(self._places)
                self.more.append(item)
        if added := len(self._places) - self.matrices["answered"].shape[1]:
            for name, matrix in self.matrices.items():
                self.matrices[name] = np.pad(matrix, ((0, 0), (0, added)), constant_values=_MATRICES[name][1])
        return np.asarray([self._places[item] for item in ids.to_pylist()], dtype=np.int64)


def _answers(key: tuple[str, str], folder: RunFolder, parts: Sequence[UnionPart], shapes: pd.DataFrame) -> Answers:
    recipes, rows = [], None
    for row, (recipe, table) in enumerate(_tables(folder, parts)):
        rows = rows or _Rows(table, len(parts))
        recipes.append(recipe)
        rows.add(row, table)
    assert rows is not None
    items = np.asarray([*rows.ids.to_pylist(), *rows.more], dtype=object)
    about = shapes.reindex(items)
    relation, relations = pd.factorize(about["relation"])
    return Answers(
        model=key[0],
        task=key[1],
        recipes=tuple(recipes),
        items=items,
        relation=np.asarray(relation, dtype=np.int64),
        relations=tuple(map(str, np.asarray(relations, dtype=object))),
        popularity=about["popularity"].to_numpy(dtype=np.float64),
        baselines=item_baselines(about),
        has_predictions=rows.has_predictions,
        **rows.matrices,
    )


def _floats(column: Any) -> NDArray[np.float32]:  # noqa: ANN401 - of arrow
    return np.asarray(column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float32)


def _flat(lists: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:  # noqa: ANN401
    """Return the values of all lists one after the other, and the lists' lengths."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return (
        np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float64),
        np.asarray(lengths.to_numpy(zero_copy_only=False), dtype=np.int64),
    )


def _different(first: Any, texts: Any, places: NDArray[np.int64] | None) -> NDArray[np.bool_]:  # noqa: ANN401
    if places is not None:
        # Items missing from the first variant become null.
        taken: Any = pa.array(np.where(places < len(first), places, -1), mask=places >= len(first))
        first = first.take(taken)
    different: Any = pc.fill_null(pc.not_equal(first, texts), False)
    return np.asarray(different.to_numpy(zero_copy_only=False), dtype=np.bool_)
