"""What a parquet file of the store says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from forgetmeter.json_text import to_json

_KEY = b"forgetmeter"


def parquet_bytes(table: pa.Table, facts: Mapping[str, Any]) -> bytes:
    """Return a table as a parquet file (zstd) whose metadata holds ``facts`` as JSON."""
    texts = [each.name for each in table.schema if pa.types.is_string(each.type)]
    fractions = [path for each in table.schema for path in _fractions(each.name, each.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({_KEY: to_json(facts)}),
        sink,
        compression="zstd",
        # Numbers with a fraction hardly repeat: a dictionary of them makes the file half as large again.
        use_dictionary=texts,  # type: ignore[arg-type,unused-ignore]
        use_byte_stream_split=fractions,  # type: ignore[arg-type,unused-ignore]
    )
    return bytes(sink.getvalue().to_pybytes())


def _fractions(name: str, kind: pa.DataType) -> list[str]:
    """Return the path, as parquet calls it, of a column of fractions or of lists of them; none of any other."""
    if pa.types.is_floating(kind):
        return [name]
    if pa.types.is_list(kind) and pa.types.is_floating(kind.value_type):
        return [f"{name}.list.element"]
    return []


def read_facts(stream: IO[bytes]) -> dict[str, Any] | None:
    """Return the facts in a parquet file's metadata, or ``None`` where the file is broken or not ours.

    Only the end of the file is read; a file that was cut off has lost it. Facts with ``rows`` must agree
    with the number of rows.
    """
    try:
        metadata = pq.read_metadata(stream)
        facts: dict[str, Any] = json.loads((metadata.metadata or {})[_KEY])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None
    return facts if facts.get("rows") == metadata.num_rows else None
