"""What a task asks, item by item, as text: read from a run without making each item's choices."""

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
        ids: Their ids.
        hashes: Of their content.
        statements: What is asked; a blank is written as ``___``.
        relations: Their relation in words, else its name; ``None`` where there is none.
        relation_labels: The relations in words, by name; only those that have words.
        facts: Which of the task's facts each item asks for, where it asks for some in several phrasings; -1 for none.
    """

    ids: Sequence[str]
    hashes: Sequence[str]
    statements: Sequence[str]
    relations: Sequence[str | None]
    relation_labels: dict[str, str]
    facts: NDArray[np.int64] | None = None


def read_item_texts(content: bytes) -> ItemTexts:
    """Read an items file.

    Args:
        content: Of the file.
    """
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
    template, subject = (pc.map_lookup(fields, name, "first") for name in ("template", "subject"))
    named = pc.binary_join_element_wise(relation, subject, "\0").combine_chunks()
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
