"""A task's items as a parquet file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from forgetmeter.basics.visible_text import encodable
from forgetmeter.records.generation import Generation
from forgetmeter.records.item import Asks, Cloze, Item, Request, Requests, TaskDescription, WholeText, is_generated
from forgetmeter.runs.tables.metadata import parquet_bytes

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
        # Only for clozes, else null.
        ("before", pa.string()),
        ("after", pa.string()),
        ("among", pa.string()),
    ]
)
_GENERATION = pa.field("generation", pa.string())
"""Settings of generation as JSON, only in files of tasks that ask for texts."""
OPTIONAL = ("before", "after", "among", _GENERATION.name)
"""Columns that may lack values."""
ITEM_COLUMNS = tuple(_SCHEMA.names)
ITEMS_SCHEMA = pa.schema([field for field in _SCHEMA if field.name not in ("before", "after", "among")])
"""The columns that every version has stored."""


def items_hash(items: Sequence[Item]) -> str:
    """Return the hexadecimal SHA-256 over the items' content hashes, in order."""
    return _hash_of(item.content_hash for item in items)


def _hash_of(content_hashes: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for content_hash in content_hashes:
        # The separator makes different lists of hashes different bytes.
        digest.update(f"{content_hash}\n".encode())
    return digest.hexdigest()


def stored_ids(content: bytes) -> tuple[Any, str]:
    """Return the ids in an items file, and the ``items_hash`` of its content hashes."""
    table = pq.read_table(io.BytesIO(content), columns=["item_id", "content_hash"])
    return table["item_id"].combine_chunks(), _hash_of(table["content_hash"].to_pylist())


def items_parquet(description: TaskDescription, items: Sequence[Item]) -> bytes:
    """Return items as a parquet file, with the task's description and ``items_hash`` in its metadata."""
    try:
        table = _table(items)
    except UnicodeEncodeError:
        table = _table([_storable(item) for item in items])
    return parquet_bytes(table, {**asdict(description), "items_hash": items_hash(items), "rows": len(items)})


def _table(items: Sequence[Item]) -> pa.Table:
    clozes = [item.asks if isinstance(item.asks, Cloze) else None for item in items]
    table = pa.table(
        {
            "item_id": [item.id for item in items],
            "content_hash": [item.content_hash for item in items],
            "gold": [list(item.gold) for item in items],
            "choices": [list(item.choices) for item in items],
            "contexts": [_contexts(item) for item in items],
            # A whole text is stored as a continuation without a context.
            "continuations": [
                [item.asks.text]
                if isinstance(item.asks, WholeText)
                else [request.continuation for request in item.requests]
                for item in items
            ],
            "fields": [sorted(item.fields.items()) for item in items],
            "before": [cloze and cloze.before for cloze in clozes],
            "after": [cloze and cloze.after for cloze in clozes],
            "among": [cloze and cloze.among for cloze in clozes],
        },
        schema=_SCHEMA,
    )
    if not is_generated(items):
        return table
    settings = [dict(item.asks.arguments) if isinstance(item.asks, Generation) else None for item in items]
    texts = [None if each is None else json.dumps(each) for each in settings]
    return table.append_column(_GENERATION, pa.array(texts, pa.string()))


def _contexts(item: Item) -> list[str]:
    if isinstance(item.asks, Generation):
        return [item.asks.context]
    return [request.context for request in item.requests]


def _storable(item: Item) -> Item:
    """Return an item with lone surrogates escaped, as UTF-8 cannot encode them; such an item cannot be asked."""
    match item.asks:
        case Cloze(before=before, after=after):
            asks: Asks = replace(item.asks, before=encodable(before), after=encodable(after))
        case Requests() as requests:
            asks = Requests(Request(encodable(one.context), encodable(one.continuation)) for one in requests)
        case WholeText(text=whole):
            asks = replace(item.asks, text=encodable(whole))
        case Generation(context=context):
            asks = replace(item.asks, context=encodable(context))
        case _:
            asks = item.asks
    fields = {name: encodable(value) for name, value in item.fields.items()}
    return replace(item, asks=asks, choices=tuple(map(encodable, item.choices)), fields=fields)
