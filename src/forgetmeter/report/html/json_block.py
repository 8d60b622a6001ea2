"""Data for the page's script, as a JSON block that no text inside can terminate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

# In a script element, only "<" starts something special; JSON parsers accept these characters as escapes.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def json_block(document: Mapping[str, Any]) -> Markup:
    """Return a document as JSON that is safe inside ``<script type="application/json">``."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    # UTF-8 cannot encode lone surrogates.
    return Markup(text.encode("utf-8", "replace").decode())
