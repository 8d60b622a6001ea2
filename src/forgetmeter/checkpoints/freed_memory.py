"""Giving freed memory back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_EVERY = 32_000_000


class FreedMemory:
    """Has the C library give back what was freed, now and then.

    glibc keeps blocks of up to 32 MB for later. While tensors of many sizes come and go, what it keeps grows to a
    good part of all that went through it, which is the whole checkpoint.
    """

    def __init__(self) -> None:
        self._bytes = 0

    def worked_on(self, size: int) -> None:
        """Take note that tensors of so many bytes have come and gone."""
        self._bytes += size
        if self._bytes > _EVERY:
            self._bytes = 0
            # Other C libraries have no such function, and no need of it.
            with suppress(AttributeError, OSError, TypeError):
                ctypes.CDLL(None).malloc_trim(0)
