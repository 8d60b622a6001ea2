"""The rounds of successive halving."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from forgetmeter.plan.halving import FEWEST_ITEMS, FINALISTS, halving_rounds


def test_a_third_of_the_recipes_gets_three_times_as_many_questions() -> None:
    assert [(each.recipes, round(1 / each.share)) for each in halving_rounds(30, 10_000)] == [
        (30, 27),
        (10, 9),
        (4, 3),
        (3, 1),
    ]


def test_few_recipes_or_few_items_need_one_round() -> None:
    assert [(each.recipes, each.share) for each in halving_rounds(3, 10_000)] == [(3, 1.0)]
    assert [(each.recipes, each.share) for each in halving_rounds(40, 3 * FEWEST_ITEMS - 1)] == [(40, 1.0)]


@given(st.integers(1, 500), st.integers(1, 10**6))
@example(4, 900)
def test_laws(recipes: int, items: int) -> None:
    rounds = halving_rounds(recipes, items)
    assert rounds[0].recipes == recipes
    assert rounds[-1].share == 1
    for before, after in pairwise(rounds):
        assert before.recipes > after.recipes >= FINALISTS
        assert before.share < after.share
        assert before.share * items >= FEWEST_ITEMS
    # No more questions than asking every recipe everything; with four recipes, a twelfth more.
    assert sum(each.recipes * each.share for each in rounds) <= recipes * (13 / 12 + 1e-9)
