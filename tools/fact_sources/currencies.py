"""Currencies that are in use, by CLDR."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from babel.core import get_global

from fact_sources.countries import ENGLISH, countries
from fact_sources.fact import Fact

# As English has them, where CLDR does not.
_NAMES = {
    "AFN": "Afghan afghani",
    "GYD": "Guyanese dollar",
    "KGS": "Kyrgyzstani som",
    "STN": "Sao Tome and Principe dobra",
}


def country_currencies() -> Iterator[Fact]:
    """Yield the everyday name of each country's currency, if it has only one: the last word of the full name."""
    for country in countries():
        codes = _in_use(country.code)
        if len(codes) == 1:
            yield Fact(country.name, _name(codes[0]).split()[-1], country.population)


def currency_codes() -> Iterator[Fact]:
    """Yield the ISO 4217 code of each currency that some country uses."""
    users: dict[str, int] = defaultdict(int)
    for country in countries():
        for code in _in_use(country.code):
            users[code] += country.population
    for code in sorted(users):
        yield Fact(f"the {_name(code)}", code, users[code])


def _in_use(country: str) -> list[str]:
    """Return the codes of legal tender without an end date."""
    return [
        code for code, _, end, is_tender in get_global("territory_currencies")[country] if is_tender and end is None
    ]


def _name(code: str) -> str:
    # The names for a number of units are written as inside a sentence: "Japanese yen", not "Japanese Yen".
    name: str = ENGLISH._data["currency_names_plural"][code]["one"]
    return _NAMES.get(code, name).replace(" & ", " and ")
