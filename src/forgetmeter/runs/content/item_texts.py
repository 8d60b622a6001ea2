"""Texts of a task's items, read from a run without materializing the choices."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forgetmeter.runs.content.statement import BLANK, statement_of


@dataclass(frozen=True)
class ItemTexts:
    """A task's items, in order.

    Attributes:
        ids: Item ids.
        hashes: Content hashes.
        statements: The question of each item; a blank is written as ``___``.
        relations: Label of each item's relation, or its name if it has no label; ``None`` for items without a relation.
        relation_labels: Labels by relation name, for relations that have one.
        facts: Index of the fact of each item, -1 for none; ``None`` unless the task asks for some fact in
            several phrasings.
    """

    ids: Sequence[str]
    hashes: Sequence[str]
    statements: Sequence[str]
    relations: Sequence[str | None]
    relation_labels: dict[str, str]
    facts: NDArray[np.int64] | None = None


def read_item_texts(content: bytes) -> ItemTexts:
    """Return the texts in the content of an items file."""
    stored = pq.ParquetFile(io.BytesIO(content))
    names = set(stored.schema_arrow.names)
    has_clozes = {"before", "after"} <= names
    wanted = ["item_id", "content_hash", "contexts", "continuations", "fields"]
    table: Any = stored.read(columns=[*wanted, *(["before", "after"] if has_clozes else [])])
    relation = pc.map_lookup(table["fields"], "relation", "first")
    label = pc.map_lookup(table["fields"], "relation_label", "first")
    return ItemTexts(
        ids=table["item_id"].to_pylist(),
        hashes=table["content_hash"].to_pylist(),
        statements=_statements(table, has_clozes=has_clozes),
        relations=pc.coalesce(label, relation).to_pylist(),
        relation_labels={
            name: words for name, words in zip(relation.to_pylist(), label.to_pylist(), strict=True) if name and words
        },
        facts=_facts(table["fields"], relation),
    )


def _facts(fields: Any, relation: Any) -> NDArray[np.int64] | None:  # noqa: ANN401 - of arrow
    template, subject, fact = (pc.map_lookup(fields, name, "first") for name in ("template", "subject", "fact"))
    # Entities may share a label.
    named = pc.binary_join_element_wise(relation, pc.coalesce(fact, subject), "\0").combine_chunks()
    encoded = pc.if_else(pc.is_valid(template).combine_chunks(), named, None).dictionary_encode()
    facts: NDArray[np.int64] = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return facts if np.count_nonzero(facts >= 0) > len(encoded.dictionary) else None


def _statements(table: Any, *, has_clozes: bool) -> list[str]:  # noqa: ANN401 - of arrow
    if has_clozes and not table["before"].null_count:
        joined: list[str] = pc.binary_join_element_wise(table["before"], table["after"], BLANK).to_pylist()
        return joined
    rows = table.select(
        [name for name in ("before", "after", "contexts", "continuations") if name in table.column_names]
    )
    return [statement_of(row) for row in rows.to_pylist()]
