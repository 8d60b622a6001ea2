"""What a number of items can resolve, against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from forgetmeter.statistics.paired import paired_drop
from forgetmeter.statistics.resolution import Expected


@pytest.mark.parametrize("flips", [0.0, 0.01, 0.1, 0.4])
@pytest.mark.parametrize("items", [30, 300, 5000])
def test_the_half_width_is_that_of_the_interval(items, flips) -> None:
    half = round(items * flips / 2)
    found = paired_drop(forgotten=half, gained=half, items=items)
    assert Expected(2 * half / items).half_width(items) == pytest.approx((found.high - found.low) / 2)


@pytest.mark.parametrize(("flips", "margin"), [(0.1, 0.01), (0.1, 0.05), (0.02, 0.02), (0.3, 0.05)])
def test_the_needed_items_pass_with_80_percent(flips, margin) -> None:
    expected = Expected(flips)
    items = expected.needed(margin, 0.8)
    assert items is not None
    assert expected.power(margin, items) >= 0.8 > expected.power(margin, items - 1)
    random = np.random.default_rng(0)
    drawn = random.multinomial(items, [flips / 2, flips / 2, 1 - flips], size=2000)
    passed = [paired_drop(forgotten=int(a), gained=int(b), items=items).high <= margin for a, b, _ in drawn]
    assert np.mean(passed) == pytest.approx(0.8, abs=0.03)


def test_known_figures() -> None:
    assert Expected(0.1).half_width(300) == pytest.approx(0.0367, abs=1e-4)
    assert Expected(0.1).needed(0.01, 0.8) == pytest.approx(7870, abs=60)
    assert Expected(0.1, 2.0, per_relation=40).needed(0.01, 0.8) == pytest.approx(2 * 7870, rel=0.02)
    assert Expected(0.1).needed(1e-9, 0.8) is None
    assert Expected(0.0).needed(0.05, 0.8) == 54
