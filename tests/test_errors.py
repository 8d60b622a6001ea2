"""Errors of the user, and other errors on one line."""

from __future__ import annotations

import pytest

from forgetmeter.errors import ManyUserError, UserError, one_line, refuse


def test_problems_are_raised_together() -> None:
    refuse([])
    with pytest.raises(UserError, match="^one$") as one:
        refuse(iter(["one"]))
    assert not isinstance(one.value, ManyUserError)
    with pytest.raises(ManyUserError, match="^one\ntwo$") as many:
        refuse(["one", "two"])
    assert many.value.messages == ("one", "two")


def test_an_error_on_one_line() -> None:
    assert one_line(ValueError("  a\n\tb  c ")) == "a b c"
    assert one_line(ValueError("abcdef"), most=3) == "ab…"
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
