"""The divergence between two sets of log-likelihoods, against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from forgetmeter.statistics.choice_divergence import ChoiceDistributions


def flat(lists: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray([value for each in lists for value in each]), np.asarray([len(each) for each in lists], dtype=int)


def test_it_is_the_kullback_leibler_divergence_of_the_softmaxes() -> None:
    random = np.random.default_rng(0)
    lengths = [2, 5, 1, 3, 2]
    before, after = ([random.normal(-50, 5, length).tolist() for length in lengths] for _ in range(2))
    found = ChoiceDistributions(*flat(before)).divergence(*flat(after))
    assert found is not None
    for place, (one, other) in enumerate(zip(before, after, strict=True)):
        if len(one) == 1:
            assert np.isnan(found[place])
        else:
            assert found[place] == pytest.approx(rel_entr(softmax(one), softmax(other)).sum(), rel=1e-5, abs=1e-7)


def test_equal_answers_have_no_divergence() -> None:
    values = flat([[-1.0, -2.0], [-300.0, -1.0, -2.0]])
    assert ChoiceDistributions(*values).divergence(*values).tolist() == [0, 0]  # type: ignore[union-attr]


def test_incomparable_answers() -> None:
    single = flat([[-1.0], [-2.0]])
    assert ChoiceDistributions(*single).divergence(*single) is None
    assert ChoiceDistributions(*flat([])).divergence(*flat([])) is None
    several = ChoiceDistributions(*flat([[-1.0, -2.0], [-1.0, -2.0]]))
    assert several.divergence(*flat([[-1.0, -2.0], [-1.0]])) is None
    broken = several.divergence(*flat([[float("nan"), -2.0], [float("-inf"), float("-inf")]]))
    assert broken is not None
    assert np.isnan(broken).all()


def test_choices_that_are_ruled_out() -> None:
    never = float("-inf")
    before = [[-1.0, never, -2.0], [-1.0, never, -2.0], [-1.0, -1.0, -2.0], [never, never, -3.0]]
    after = [[-1.0, -1.5, -2.5], [-1.0, never, -2.5], [-1.0, never, -2.0], [-1.0, never, -4.0]]
    found = ChoiceDistributions(*flat(before)).divergence(*flat(after))
    expected = [rel_entr(softmax(one), softmax(other)).sum() for one, other in zip(before, after, strict=True)]
    assert expected[2] == np.inf
    np.testing.assert_allclose(found, expected, rtol=1e-5)
