"""Holm's correction, against statsmodels."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from forgetmeter.statistics.correction import holm_corrected


# statsmodels collects garbage in each call, which takes half a second.
@settings(max_examples=30)
@given(st.lists(st.none() | st.floats(0, 1), max_size=30))
def test_equals_statsmodels(p_values: list[float | None]) -> None:
    tested = [value for value in p_values if value is not None]
    expected = iter(multipletests(tested, method="holm")[1] if tested else ())
    assert holm_corrected(p_values) == [None if value is None else next(expected) for value in p_values]
