"""Limits of conditions: what is read, and what could mean two things."""

from __future__ import annotations

import pytest

from forgetmeter.errors import UserError
from forgetmeter.specs.budget import Budget
from forgetmeter.specs.condition import Condition, parse_limit


@pytest.mark.parametrize(
    ("quantity", "value", "limit"),
    [
        ("drop", "1pt", 0.01),
        ("drop", "1.5 pts", 0.015),
        ("drop", 0.01, 0.01),
        ("retained", "98%", 0.98),
        ("retained", 0.98, 0.98),
        ("accuracy", "60%", 0.6),
        ("divergence", "0.05", 0.05),
        ("divergence", "2 nats", 2.0),
        ("agreement", ".9", 0.9),
        ("divergence", 0.00005, 0.00005),
        ("divergence", "5e-5 nats", 0.00005),
        ("drop", 0.00005, 0.00005),
        ("size", 0.00005, Budget(share=0.00005)),
        ("size", "50%", Budget(share=0.5)),
        ("size", "200MB", Budget(size=200_000_000)),
    ],
)
def test_limits_are_read(quantity, value, limit) -> None:
    assert parse_limit(quantity, value) == pytest.approx(limit) if quantity != "size" else True
    assert quantity != "size" or parse_limit(quantity, value) == limit


@pytest.mark.parametrize("points", ["0.7", "1.1", "0.57", "2.3"])
def test_points_and_shares_of_one_size_are_one_limit(points: str) -> None:
    share = f"0.0{points.replace('.', '')}" if points[0] != "0" else f"0.00{points[2:]}"
    assert parse_limit("drop", f"{points}pt") == parse_limit("drop", share) == float(share)


@pytest.mark.parametrize(
    ("quantity", "value", "words"),
    [
        ("drop", "1", "'1' is ambiguous: write 1pt"),
        ("drop", "0", "'0' can never be shown to hold"),
        ("drop", 0, "can never be shown to hold"),
        ("drop", "100pt", "'100pt' is met by every model"),
        ("divergence", "0", "can never be shown to hold"),
        ("retained", "100%", "'100%' can never be shown to hold"),
        ("retained", "0", "'0' is met by every model"),
        ("accuracy", "0%", "is met by every model"),
        ("drop", 1, "ambiguous"),
        ("drop", "1%", "for percentage points of accuracy write 1pt"),
        ("drop", "-1pt", "not a valid limit of drop"),
        ("drop", "101pt", "not a valid limit"),
        ("drop", "1 nat", "not a valid limit"),
        ("drop", True, "not a valid limit"),
        ("drop", None, "not a valid limit"),
        ("drop", "nan", "not a valid limit"),
        ("retained", "98", "allowed: a share such as 0.98 or 98%"),
        ("retained", "98pt", "not a valid limit"),
        ("divergence", "5%", "a number of nats"),
        ("size", "0", "not a valid share"),
        ("size", 1e-400, "not a valid share"),
        ("size", "9" * 5000 + "B", "is too large"),
        ("divergence", "9" * 5000, "9…9.*' is not a valid limit of divergence"),
        ("divergence", "1e999", "not a valid limit"),
        ("divergence", float("inf"), "not a valid limit"),
        ("divergence", float("nan"), "not a valid limit"),
        ("drop", -0.01, "not a valid limit"),
        pytest.param("drop", 16**5000, "not a valid limit", id="too many digits for Python's text"),
        ("drop", "٣pt", "not a valid limit"),
        ("drop", "1\n2", "'1 2' is not a valid limit"),
    ],
)
def test_what_could_mean_two_things_is_refused(quantity, value, words) -> None:
    with pytest.raises(UserError, match=words) as caught:
        parse_limit(quantity, value)
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition("drop", 0.01), "drop ≤ 1 point"),
        (Condition("drop", 0.005), "drop ≤ 0.5 points"),
        (Condition("retained", 0.98), "retained ≥ 98%"),
        (Condition("divergence", 0.05, statistic="p99"), "p99 divergence ≤ 0.05 nats"),
        (Condition("size", Budget(share=0.29)), "size ≤ 29% of the original"),
        (Condition("size", Budget(size=200_000_000)), "size ≤ 200 MB"),
    ],
)
def test_a_condition_in_words(condition, words) -> None:
    assert str(condition) == words
