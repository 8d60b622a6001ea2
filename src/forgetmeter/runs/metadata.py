"""What a parquet file of the store says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from forgetmeter.json_text import read_json, to_json

_KEY = b"forgetmeter"
_NUMBERS = ("seconds", "tokens", "batches", "cut", "not_numbers", "official_size")
_MAPPINGS = ("metrics", "dropped", "filters")


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


def read_facts(stream: IO[bytes], columns: pa.Schema) -> dict[str, Any] | None:
    """Return the facts in a parquet file's metadata, or ``None`` where the file is broken or not ours.

    Only the end of the file is read; a file that was cut off has lost it. Facts with ``rows`` must agree
    with the number of rows.

    Args:
        stream: The file.
        columns: Columns that it must have, with their types.
    """
    try:
        metadata = pq.read_metadata(stream)
        facts = read_json((metadata.metadata or {})[_KEY])
        schema = metadata.schema.to_arrow_schema()
        if not all(_alike(schema.field(wanted.name).type, wanted.type) for wanted in columns):
            return None
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None
    return facts if facts.get("rows") == metadata.num_rows and _are_numbers(facts) else None


def _alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column holds what it should, in whatever width earlier versions stored it."""
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return _alike(found.value_type, wanted.value_type)
    kinds = (pa.types.is_floating, pa.types.is_integer)
    return found.equals(wanted) or any(kind(found) and kind(wanted) for kind in kinds)


def _are_numbers(facts: Mapping[str, Any]) -> bool:
    """Whether what later is computed with can be: by name, or in a mapping of names."""
    numbers = [value for name in _NUMBERS if (value := facts.get(name)) is not None]
    for name in _MAPPINGS:
        mapping = facts.get(name) or {}
        if not isinstance(mapping, dict):
            return False
        numbers += [value for value in mapping.values() if value is not None]
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in numbers)
