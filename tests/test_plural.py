"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from forgetmeter.plural import counted


@pytest.mark.parametrize(("number", "says"), [(0, "0 items"), (1, "1 item"), (2, "2 items"), (2_000, "2,000 items")])
def test_the_noun_agrees_with_the_number(number: int, says: str) -> None:
    assert counted(number, "item") == says
