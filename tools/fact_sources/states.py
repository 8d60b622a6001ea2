"""The states of the United States, by the package us."""

from __future__ import annotations

from collections.abc import Iterator

import us

from fact_sources.cities import people_in_cities_of_states
from fact_sources.fact import Fact


def state_abbreviations() -> Iterator[Fact]:
    """Yield each state's two letters."""
    people = people_in_cities_of_states()
    for state in us.STATES:
        yield Fact(state.name, state.abbr, people.get(state.abbr))


def state_capitals() -> Iterator[Fact]:
    """Yield each state's capital."""
    people = people_in_cities_of_states()
    for state in us.STATES:
        yield Fact(state.name, state.capital, people.get(state.abbr))


def state_years() -> Iterator[Fact]:
    """Yield the year in which each state joined the Union."""
    people = people_in_cities_of_states()
    for state in us.STATES:
        yield Fact(state.name, str(state.statehood_year), people.get(state.abbr))
