"""Size limits as text."""

from __future__ import annotations

import pytest

from forgetmeter.errors import UserError
from forgetmeter.specs.budget import Budget, parse_budget


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("0.5", 500),
        ("50%", 500),
        (".25", 250),
        ("1", 1000),
        ("100 %", 1000),
        ("300B", 300),
        ("0.2kB", 200),
        ("2KiB", 2048),
        ("1.5 GB", 1_500_000_000),
        ("1MiB", 1_048_576),
        ("0.00005", 0),
        ("0.123456789", 123),
    ],
)
def test_shares_and_sizes(text: str, most: int) -> None:
    budget = parse_budget(text)
    assert budget.within(1000) == most
    assert parse_budget(str(budget)) == budget


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a valid size limit"),
        ("half", "is not a valid size limit"),
        ("-1", "is not a valid size limit"),
        ("nan", "is not a valid size limit"),
        ("1e3MB", "is not a valid size limit"),
        ("5 furlongs", "is not a valid size limit"),
        ("0", "is not a valid share: it must be above 0 and at most 1"),
        ("2", "is not a valid share"),
        ("200", "allowed: a share such as 0.5 or 50%, or a size such as 200MB"),
        ("120%", "is not a valid share"),
        ("0MB", "is less than one byte"),
        ("9" * 5000 + "B", "99…99"),
        ("9" * 5000 + "B", "is too large"),
        ("9" * 5000, "is not a valid share"),
        ("٣MB", "is not a valid size limit"),
    ],
)
def test_invalid_sizes_are_refused(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        parse_budget(text)
    assert len(str(caught.value)) < 250


def test_a_share_rounds_down() -> None:
    assert Budget(share=0.5).within(3) == 1
