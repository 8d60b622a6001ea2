"""A task's items as a parquet file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

import pyarrow as pa

from forgetmeter.records.item import Item, TaskDescription
from forgetmeter.runs.metadata import parquet_bytes

_TEXTS = pa.list_(pa.string())
_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("content_hash", pa.string()),
        ("gold", pa.list_(pa.int32())),
        ("choices", _TEXTS),
        ("contexts", _TEXTS),
        ("continuations", _TEXTS),
        ("fields", pa.map_(pa.string(), pa.string())),
        # Of a cloze; null elsewhere.
        ("before", pa.string()),
        ("after", pa.string()),
        ("among", pa.string()),
    ]
)
ITEM_COLUMNS = tuple(_SCHEMA.names)


def items_hash(items: Sequence[Item]) -> str:
    """Return the SHA-256, in hexadecimal, over the items' content hashes in order."""
    digest = hashlib.sha256()
    for item in items:
        # A separator, so that no two lists of hashes run together into the same bytes.
        digest.update(f"{item.content_hash}\n".encode())
    return digest.hexdigest()


def items_parquet(description: TaskDescription, items: Sequence[Item]) -> bytes:
    """Return items as a parquet file, with the task's description and ``items_hash`` in its metadata."""
    table = pa.table(
        {
            "item_id": [item.id for item in items],
            "content_hash": [item.content_hash for item in items],
            "gold": [list(item.gold) for item in items],
            "choices": [list(item.choices) for item in items],
            "contexts": [[request.context for request in item.requests] for item in items],
            # A text is what follows nothing.
            "continuations": [
                [request.continuation for request in item.requests] if item.text is None else [item.text]
                for item in items
            ],
            "fields": [sorted(item.fields.items()) for item in items],
            "before": [item.cloze and item.cloze.before for item in items],
            "after": [item.cloze and item.cloze.after for item in items],
            "among": [item.cloze and item.cloze.among for item in items],
        },
        schema=_SCHEMA,
    )
    return parquet_bytes(table, {**asdict(description), "items_hash": items_hash(items), "rows": len(items)})
