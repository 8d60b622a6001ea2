"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from forgetmeter.basics.plural import counted, joined, listed, megabytes


@pytest.mark.parametrize(("number", "says"), [(0, "0 items"), (1, "1 item"), (2, "2 items"), (2_000, "2,000 items")])
def test_the_noun_agrees_with_the_number(number: int, says: str) -> None:
    assert counted(number, "item") == says


@pytest.mark.parametrize(
    ("most", "says"), [(1, "a and 2 more"), (2, "a, b and 1 more"), (3, "a, b, c"), (9, "a, b, c")]
)
def test_names_beyond_the_first_are_counted(most: int, says: str) -> None:
    assert listed(["a", "b", "c"], most) == says
    assert listed(["a", "b", "c"], 2, separator="; ") == "a; b and 1 more"
    assert listed([], most) == ""


def test_all_names_are_joined_as_in_a_sentence() -> None:
    assert [joined("abc"[:length]) for length in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_sizes_have_the_decimals_of_the_largest() -> None:
    assert megabytes([1_234_567_890, 12_300_000, None]) == ["1,234.6", "12.3", "—"]
    assert megabytes([1_234_000, 1_000]) == ["1.23", "0.00"]
    assert megabytes([71_234, 1_000]) == ["0.071", "0.001"]
    assert megabytes([None]) == ["—"]
