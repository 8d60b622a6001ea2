"""Fetching a file from an address."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from forgetmeter.errors import UserError

_CHUNK = 1 << 20
_SECONDS = 60.0

Listener = Callable[[int, int | None], None]
"""Is told how many bytes are there, and of how many, where that is known."""


def unheard(_done: int, _size: int | None) -> None:
    """Listen to nothing."""


def download(address: str, path: Path, *, listen: Listener) -> None:
    """Write what is at an address into a file.

    Args:
        address: An ``https://`` or ``http://`` address.
        path: The file.
        listen: Is told how far it is.

    Raises:
        UserError: It cannot be fetched, or breaks off.
        OSError: The file cannot be written.
    """
    done = 0
    with path.open("wb") as file:
        for chunk, size in _chunks(address):
            file.write(chunk)
            done += len(chunk)
            listen(done, size)


def _chunks(address: str) -> Iterator[tuple[bytes, int | None]]:
    """Yield the content in parts, each with the size of the whole where that is known."""
    request = urllib.request.Request(address, headers={"User-Agent": "forgetmeter"})
    done = 0
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            said = answer.headers.get("Content-Length")
            size = int(said) if said and said.isdigit() else None
            while chunk := answer.read(_CHUNK):
                done += len(chunk)
                yield chunk, size
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{address} cannot be fetched ({reason})") from error
    if size is not None and done != size:
        raise UserError(f"{address} broke off after {done:,} of {size:,} bytes")
