"""Control characters made visible."""

from __future__ import annotations

import pytest

from forgetmeter.basics.visible_text import encodable, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("nothing\x00 here\r", "nothing\\x00 here\\x0d"),
        ("\u202eturned\u202c", "\\u202eturned\\u202c"),
        ("one\u2028two\ud800\uffff", "one\\u2028two\\ud800\\uffff"),
        ("Ciudad de México,\n\tβ – 東京 ‘é’", "Ciudad de México,\n\tβ – 東京 ‘é’"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lone_surrogates_are_escaped_and_nothing_else() -> None:
    assert encodable("é 🙂 \ud800") == "é 🙂 \\ud800"
