"""Errors of the user, and other errors on one line."""

from __future__ import annotations

import pytest

from forgetmeter.errors import ManyUserError, UserError, is_out_of_memory, one_line, refuse


def test_problems_are_raised_together() -> None:
    refuse([])
    with pytest.raises(UserError, match="^one$") as one:
        refuse(iter(["one"]))
    assert not isinstance(one.value, ManyUserError)
    with pytest.raises(ManyUserError, match="^one\ntwo$") as many:
        refuse(["one", "two"])
    assert many.value.messages == ("one", "two")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_a_lack_of_memory_is_recognized(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(ValueError("shape mismatch"))


def test_an_error_on_one_line() -> None:
    assert one_line(ValueError("  a\n\tb  c ")) == "a b c"
    assert one_line(ValueError("abcdef"), most=3) == "ab…"
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
