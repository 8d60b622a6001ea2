"""A task's items as a parquet file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace

import pyarrow as pa

from forgetmeter.records.item import Item, Request, TaskDescription
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
ITEMS_SCHEMA = pa.schema([field for field in _SCHEMA if field.name not in ("before", "after", "among")])
"""What every version has stored."""


def items_hash(items: Sequence[Item]) -> str:
    """Return the SHA-256, in hexadecimal, over the items' content hashes in order."""
    digest = hashlib.sha256()
    for item in items:
        # A separator, so that no two lists of hashes run together into the same bytes.
        digest.update(f"{item.content_hash}\n".encode())
    return digest.hexdigest()


def items_parquet(description: TaskDescription, items: Sequence[Item]) -> bytes:
    """Return items as a parquet file, with the task's description and ``items_hash`` in its metadata."""
    try:
        table = _table(items)
    except UnicodeEncodeError:
        table = _table([_storable(item) for item in items])
    return parquet_bytes(table, {**asdict(description), "items_hash": items_hash(items), "rows": len(items)})


def _table(items: Sequence[Item]) -> pa.Table:
    return pa.table(
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


def _storable(item: Item) -> Item:
    """Return an item with escapes in place of half surrogate pairs, which no file can hold; it cannot be asked."""

    def text(value: str) -> str:
        return value.encode(errors="backslashreplace").decode()

    cloze = item.cloze and replace(item.cloze, before=text(item.cloze.before), after=text(item.cloze.after))
    return replace(
        item,
        requests=tuple(Request(text(one.context), text(one.continuation)) for one in item.requests),
        choices=tuple(map(text, item.choices)),
        fields={name: text(value) for name, value in item.fields.items()},
        cloze=cloze,
        text=None if item.text is None else text(item.text),
    )
