"""Hashes by which an item's content is told from any other's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

_LENGTH = 16


def content_hash(content: Sequence[str]) -> str:
    """Return a short hash of all that an item asks."""
    return whole_hash(content)[:_LENGTH]


def whole_hash(content: Sequence[str]) -> str:
    """Return a hash that stands for texts which many items share, such as their answers."""
    return hashlib.sha256(json.dumps(content).encode(errors="surrogatepass")).hexdigest()
