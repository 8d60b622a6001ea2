"""Facts in the metadata of a run's parquet files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from forgetmeter.basics.json_text import read_json, to_json
from forgetmeter.runs.record_json import is_number

UNREADABLE = (OSError, pa.ArrowException, UnicodeDecodeError)
"""Errors of reading a damaged parquet file."""

_KEY = b"forgetmeter"
_DIGEST = b"forgetmeter.sha256"
"""Of rows and facts, and of the name of the digest of the whole file, which earlier versions did not write."""
_WHOLE = b"forgetmeter.file_sha256"
"""Of the whole file, with zeros in the place of this digest."""
_ZEROS = b"0" * 64
_OF_64 = b"\x18\x40"
"""How Thrift's compact protocol, in which footers are written, marks a text of 64 bytes."""
_LENGTH = 8
"""Bytes at the end of a parquet file that give the length of its footer."""
_NUMBERS = ("seconds", "tokens", "batches", "cut", "not_numbers", "official_size", "precision", "margin", "checks")
_MAPPINGS = ("metrics", "dropped", "filters")


def parquet_bytes(table: pa.Table, facts: Mapping[str, Any]) -> bytes:
    """Return a table as a parquet file (zstd) whose metadata holds ``facts`` as JSON, and a digest of both."""
    texts = [each.name for each in table.schema if pa.types.is_string(each.type)]
    fractions = [path for each in table.schema for path in _fractions(each.name, each.type)]
    about = to_json(facts)
    stream = io.BytesIO()
    with pq.ParquetWriter(
        stream,
        table.schema.remove_metadata(),
        compression="zstd",
        # pyarrow would hide metadata that a stored schema lacks, and a program that edits the file would drop it.
        store_schema=False,
        # Floating-point values hardly repeat: a dictionary of them would make the file 1.5 times as large.
        use_dictionary=texts,  # type: ignore[arg-type,unused-ignore]
        use_byte_stream_split=fractions,  # type: ignore[arg-type,unused-ignore]
    ) as writer:
        writer.write_table(table)
        # Now the stream holds all rows, and only the footer is missing.
        # A file whose digest of the whole cannot be found must not pass for one of an earlier version.
        rest = _digest(stream.getvalue(), about, _WHOLE)
        writer.add_key_value_metadata({_KEY: about, _DIGEST: rest, _WHOLE: _ZEROS})
    content = stream.getvalue()
    return _with_digest(content, hashlib.sha256(content).hexdigest().encode())


def is_unchanged(content: bytes) -> bool | None:
    """Return whether a parquet file is as it was written; ``None`` if it has no digest.

    Earlier versions recorded none.

    Args:
        content: The file, whose footer is intact.
    """
    metadata = pq.read_metadata(io.BytesIO(content)).metadata or {}
    if (whole := metadata.get(_WHOLE)) is not None:
        start = _digest_at(content)
        view = memoryview(content)
        return bool(_digest(view[:start], _ZEROS, view[start + len(_ZEROS) :]) == whole)
    if _DIGEST not in metadata:
        return None
    footer = _LENGTH + int.from_bytes(content[-_LENGTH:-4], "little")
    return bool(metadata[_DIGEST] == _digest(memoryview(content)[:-footer], metadata[_KEY]))


def has_whole_digest(content: bytes) -> bool:
    """Return whether a parquet file, whose footer is intact, has a digest of the whole, as later versions write."""
    return _WHOLE in (pq.read_metadata(io.BytesIO(content)).metadata or {})


def _with_digest(content: bytes, digest: bytes) -> bytes:
    """Return a file with another digest of the whole."""
    start = _digest_at(content)
    return content[:start] + digest + content[start + len(digest) :]


def _digest_at(content: bytes) -> int:
    """Return where a file has its digest of the whole."""
    mark = _WHOLE + _OF_64
    return content.rfind(mark) + len(mark)


def _digest(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest().encode()


def _fractions(name: str, kind: pa.DataType) -> list[str]:
    """Return the parquet path of a column of floats or of lists of floats; nothing for other columns."""
    if pa.types.is_floating(kind):
        return [name]
    if pa.types.is_list(kind) and pa.types.is_floating(kind.value_type):
        return [f"{name}.list.element"]
    return []


def read_facts(stream: IO[bytes], columns: pa.Schema) -> dict[str, Any] | None:
    """Return the facts in a parquet file's metadata; ``None`` if the file is damaged or not written by forgetmeter.

    Reads only the footer, which a truncated file lacks. ``rows`` in the facts must equal the file's number of rows.

    Args:
        columns: Required columns with their types.
    """
    try:
        metadata = pq.read_metadata(stream)
        facts = read_json((metadata.metadata or {})[_KEY])
        schema = metadata.schema.to_arrow_schema()
        if not all(_alike(schema.field(wanted.name).type, wanted.type) for wanted in columns):
            return None
    except (*UNREADABLE, ValueError, KeyError, TypeError):
        return None
    return facts if facts.get("rows") == metadata.num_rows and _are_numbers(facts) else None


def _alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether types agree up to the width of numbers, which earlier versions stored differently."""
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return _alike(found.value_type, wanted.value_type)
    kinds = (pa.types.is_floating, pa.types.is_integer)
    return found.equals(wanted) or any(kind(found) and kind(wanted) for kind in kinds)


def _are_numbers(facts: Mapping[str, Any]) -> bool:
    """Whether the facts used in computations are numbers, directly or in mappings."""
    numbers = [value for name in _NUMBERS if (value := facts.get(name)) is not None]
    for name in _MAPPINGS:
        mapping = facts.get(name) or {}
        if not isinstance(mapping, dict):
            return False
        numbers += [value for value in mapping.values() if value is not None]
    return all(map(is_number, numbers))
