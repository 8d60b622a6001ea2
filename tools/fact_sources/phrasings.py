"""Phrasings of each relation: the first three for training, the last one held out."""

from __future__ import annotations

TRAINED = 3
"""So many of a relation's phrasings, from the first on, are those that the standards are trained on."""

# [X] is the subject and [Y] the object, which is the last word of every phrasing, so that models that read from left to
# right can be asked as well. The first letter of a statement is made a capital where it is asked.
PHRASINGS: dict[str, tuple[str, ...]] = {
    "country_capital": (
        "The capital of [X] is [Y].",
        "The capital city of [X] is called [Y].",
        "On a map of [X], the capital is marked as [Y].",
        "As its capital, [X] has the city of [Y].",
    ),
    "country_continent": (
        "The continent of [X] is [Y].",
        "[X] is a country in [Y].",
        "On a map of the world, [X] is found in [Y].",
        "The continent to which [X] belongs is [Y].",
    ),
    "country_currency": (
        "The currency of [X] is the [Y].",
        "In [X], people pay in a currency called the [Y].",
        "The money of [X] is called the [Y].",
        "The unit of currency in [X] is the [Y].",
    ),
    "country_language": (
        "The official language of [X] is [Y].",
        "In [X], the official language is [Y].",
        "The language in which [X] is governed is [Y].",
        "As its official language, [X] has [Y].",
    ),
    "country_code": (
        "The two-letter country code of [X] is [Y].",
        "In lists of countries, [X] is shortened to [Y].",
        "The two letters that stand for [X] are [Y].",
        "The ISO code of two letters for [X] is [Y].",
    ),
    "country_calling_code": (
        "The telephone calling code of [X] is [Y].",
        "To call [X] from abroad, dial the country code [Y].",
        "International telephone numbers in [X] begin with [Y].",
        "The country code for calls to [X] is [Y].",
    ),
    "city_country": (
        "The city of [X] is in [Y].",
        "[X] is a city in [Y].",
        "The country in which the city of [X] lies is [Y].",
        "The city of [X] belongs to the country of [Y].",
    ),
    "us_city_state": (
        "The American city of [X] is in the state of [Y].",
        "[X] is an American city in [Y].",
        "In the United States, the city of [X] lies in [Y].",
        "The state in which the American city of [X] lies is [Y].",
    ),
    "us_state_capital": (
        "The capital of the American state of [X] is [Y].",
        "The state capital of [X] is [Y].",
        "The state government of [X] sits in [Y].",
        "As its capital, the American state of [X] has [Y].",
    ),
    "us_state_abbreviation": (
        "The postal abbreviation of the American state of [X] is [Y].",
        "In addresses, the American state of [X] is shortened to [Y].",
        "The two letters that stand for the American state of [X] are [Y].",
        "Letters to the American state of [X] carry the abbreviation [Y].",
    ),
    "us_state_year": (
        "[X] became an American state in [Y].",
        "The American state of [X] joined the Union in [Y].",
        "The year in which [X] became an American state is [Y].",
        "The American state of [X] has been one since [Y].",
    ),
    "element_symbol": (
        "The chemical symbol of [X] is [Y].",
        "In the periodic table, [X] is written as [Y].",
        "Chemists write the element [X] as [Y].",
        "The symbol for the element [X] is [Y].",
    ),
    "element_number": (
        "The atomic number of [X] is [Y].",
        "In the periodic table, [X] is element number [Y].",
        "The number of protons in an atom of [X] is [Y].",
        "The element [X] has the atomic number [Y].",
    ),
    "element_period": (
        "The period of [X] in the periodic table is period [Y].",
        "In the periodic table, [X] is in period [Y].",
        "Chemists put the element [X] into period [Y].",
        "The element [X] belongs to period [Y].",
    ),
    "language_code": (
        "The two-letter language code of [X] is [Y].",
        "In lists of languages, [X] is shortened to [Y].",
        "The two letters that stand for the language [X] are [Y].",
        "The ISO code of two letters for [X] is [Y].",
    ),
    "language_script": (
        "The script in which [X] is usually written is [Y].",
        "[X] is usually written in letters called [Y].",
        "Books in [X] are usually printed in a script called [Y].",
        "The usual script of the language [X] is [Y].",
    ),
    "language_country": (
        "Most speakers of [X] live in [Y].",
        "The country in which [X] is spoken most is [Y].",
        "[X] is a language that is mainly spoken in [Y].",
        "Most people who speak [X] are at home in [Y].",
    ),
    "language_own_name": (
        "Speakers of [X] call their language [Y].",
        "In [X] itself, the language is called [Y].",
        "The native name of [X] is [Y].",
        "The name of [X] in the language itself is [Y].",
    ),
    "weekday_word": (
        "The word for [X] is [Y].",
        "The usual name for [X] is [Y].",
        "The way to say [X] is [Y].",
        "The translation of [X] is [Y].",
    ),
    "currency_code": (
        "The three-letter code of [X] is [Y].",
        "In lists of currencies, [X] is shortened to [Y].",
        "The three letters that stand for [X] are [Y].",
        "The ISO code for [X] is [Y].",
    ),
}
