"""Numbers and sizes as text."""

from __future__ import annotations

import pytest

from forgetmeter.report.words.numbers import (
    count,
    interval,
    magnitude,
    percent,
    percent_range,
    points,
    probability,
)
from forgetmeter.statistics.paired import Estimate


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.7125), "71.2%"),
        (percent(None), "—"),
        (percent_range([0.05, 0.2, 0.1]), "from 5.0% to 20.0%"),
        (percent_range([0.05]), "5.0%"),
        (percent_range([0.05, 0.05001]), "5.0%"),
        (points(-0.0001), "0.0"),
        (points(-0.012), "-1.2"),
        (interval(Estimate(0, -0.0004, 0.1)), "[0.0, 10.0]"),
        (probability(0.0004), "<0.001"),
        (probability(0.0496), "0.050"),
        (probability(1.0), "1.000"),
        (probability(None), "—"),
        (count(1838), "1,838"),
        (count(None), "—"),
        (magnitude(31_850_496), "31.9 M"),
        (magnitude(1_500), "1.5 k"),
        (magnitude(7_000_000_000), "7.0 B"),
        (magnitude(12), "12"),
        (magnitude(999_949), "999.9 k"),
        (magnitude(999_950), "1.0 M"),
        (magnitude(None), "—"),
    ],
)
def test_form(shown: str, expected: str) -> None:
    assert shown == expected
