"""Choices against trying every combination."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from forgetmeter.plan.allocation import Choice, least_loss


@pytest.mark.parametrize("seed", range(20))
def test_it_finds_what_trying_every_combination_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [
        [Choice(int(random.integers(1, 10**7)), float(random.exponential(0.02))) for _ in range(random.integers(1, 5))]
        for _ in range(5)
    ]
    most = int(random.integers(10**6, 3 * 10**7))
    fitting = [each for each in product(*map(range, map(len, parts))) if _bytes(parts, each) <= most]
    found = least_loss(parts, most)
    if not fitting:
        assert found is None
        return
    assert found is not None
    assert _bytes(parts, found) <= most
    assert _loss(parts, found) == pytest.approx(min(_loss(parts, each) for each in fitting), abs=1e-9)


def test_the_limit_itself_is_allowed() -> None:
    parts = [[Choice(10, 1.0), Choice(30, 0.0)], [Choice(10, 1.0), Choice(30, 0.5)]]
    assert least_loss(parts, 40) == (1, 0)
    assert least_loss(parts, 39) == (0, 0)
    assert least_loss(parts, 19) is None


def _bytes(parts: list[list[Choice]], chosen: tuple[int, ...]) -> int:
    return sum(choices[place].bytes for choices, place in zip(parts, chosen, strict=True))


def _loss(parts: list[list[Choice]], chosen: tuple[int, ...]) -> float:
    return sum(choices[place].loss for choices, place in zip(parts, chosen, strict=True))
