"""Data for the page's script, as a JSON block that no text inside can terminate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from forgetmeter.basics.visible_text import each_text, visible

# In a script element, only "<" starts something special; JSON parsers accept escapes.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def json_block(document: Mapping[str, Any]) -> Markup:
    """Return a document as JSON that is safe inside ``<script type="application/json">``."""
    text = json.dumps(each_text(document, visible), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)
