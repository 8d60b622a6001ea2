"""Chemical elements, by periodictable."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import periodictable

from fact_sources.fact import Fact

# Atomic numbers of the noble gases, which end the periods 1 to 7.
_LAST_OF_PERIOD = (2, 10, 18, 36, 54, 86, 118)


def element_symbols() -> Iterator[Fact]:
    """Yield each element's symbol."""
    for element in _elements():
        yield Fact(element.name, element.symbol, None)


def element_numbers() -> Iterator[Fact]:
    """Yield each element's atomic number."""
    for element in _elements():
        yield Fact(element.name, str(element.number), None)


def element_periods() -> Iterator[Fact]:
    """Yield each element's period, which follows from its atomic number."""
    for element in _elements():
        yield Fact(element.name, str(1 + bisect_left(_LAST_OF_PERIOD, element.number)), None)


def _elements() -> Iterator[periodictable.core.Element]:
    # periodictable's element 0 is the neutron.
    return (element for element in periodictable.elements if element.number)
