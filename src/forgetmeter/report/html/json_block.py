"""Data for the page's script, in a block of JSON that no text in it can end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

# Nothing of HTML is special in a script element but what begins with "<"; as an escape, JSON reads it all the same.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def json_block(document: Mapping[str, Any]) -> Markup:
    """Return a document as JSON that is safe inside ``<script type="application/json">``."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    # A lone surrogate is no character of UTF-8.
    return Markup(text.encode("utf-8", "replace").decode())
