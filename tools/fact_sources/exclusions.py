"""Facts that are left out by hand, each with its reason."""

from __future__ import annotations

_SEVERAL_CAPITALS = "its capitals are several"
_NOT_A_CITY = "part of a larger city, or named for its side of one"
_NO_CITY_BY_LAW = "a place without a city government"
_TWO_CONTINENTS = "on two continents, or put on either"
_RIVAL_NAME = "also called by another of the answers"
_CO_OFFICIAL = "another language is official beside it"
_TOO_OPEN = "who speaks it where is counted in too different ways"
_SHARED_CODE = "shares its code with another country"
_NOT_ITS_NAME = "CLDR has a form that does not stand alone, or another variety's"

EXCLUSIONS: dict[str, dict[str, str]] = {
    "country_capital": {
        "Bolivia": _SEVERAL_CAPITALS,
        "Burundi": "the government has only partly moved from Bujumbura",
        "Eswatini": _SEVERAL_CAPITALS,
        "Indonesia": "moving to a new city",
        "Israel": "disputed",
        "Ivory Coast": "the government sits in Abidjan",
        "Kiribati": "the capital is South Tarawa, of which GeoNames names the atoll",
        "Nauru": "has no official capital",
        "Palau": "the capital is Ngerulmud, which GeoNames lists under its state",
        "South Africa": _SEVERAL_CAPITALS,
        "Sri Lanka": _SEVERAL_CAPITALS,
        "Yemen": "the government sits in Aden",
    },
    "country_continent": {
        "Armenia": _TWO_CONTINENTS,
        "Australia": "itself called a continent",
        "Azerbaijan": _TWO_CONTINENTS,
        "Cyprus": _TWO_CONTINENTS,
        "East Timor": "GeoNames has Oceania, the United Nations have Asia",
        "Egypt": _TWO_CONTINENTS,
        "Georgia": _TWO_CONTINENTS,
        "Indonesia": _TWO_CONTINENTS,
        "Kazakhstan": _TWO_CONTINENTS,
        "Russia": _TWO_CONTINENTS,
        "Turkey": _TWO_CONTINENTS,
    },
    "country_currency": {
        "Bulgaria": "joined the euro in 2026, which CLDR does not have yet",
        "Eswatini": "the rand of South Africa is used beside it",
        "Iceland": _RIVAL_NAME,
        "Lebanon": _RIVAL_NAME,
        "Qatar": _RIVAL_NAME,
        "Saudi Arabia": _RIVAL_NAME,
        "Syria": _RIVAL_NAME,
    },
    "country_language": {
        "Burkina Faso": "French is official no longer",
        "Ethiopia": _CO_OFFICIAL,
        "Guinea": "national languages were raised beside it",
        "Iraq": _CO_OFFICIAL,
        "Mali": "French is official no longer",
        "Montenegro": "the language is called Montenegrin",
        "Niger": "French is official no longer",
        "South Africa": _CO_OFFICIAL,
        "Syria": "Kurdish was raised beside it",
    },
    "country_code": {"the United Kingdom": "UK is reserved for it beside GB"},
    "country_calling_code": {
        "Canada": _SHARED_CODE,
        "Kazakhstan": _SHARED_CODE,
        "Russia": _SHARED_CODE,
        "the United States": _SHARED_CODE,
    },
    "city_country": {
        "Berbera": "in Somaliland, whose state is disputed",
        "Borama": "in Somaliland, whose state is disputed",
        "Buda": _NOT_A_CITY,
        "Cuito": "usually spelled Kuito",
        "Hargeysa": "in Somaliland, whose state is disputed",
        "Jerusalem": "disputed",
        "Khartoum North": _NOT_A_CITY,
        "Marka": "usually spelled Merca",
        "Oral": "called Uralsk as well",
        "Pemba": "also an island of Tanzania",
        "Pest": _NOT_A_CITY,
        "Santo Domingo de los Colorados": "begins with the name of another country's capital",
        "South Dublin": _NOT_A_CITY,
    },
    "us_city_state": {
        "East Honolulu": _NO_CITY_BY_LAW,
        "Kahului": _NO_CITY_BY_LAW,
        "Kailua": _NO_CITY_BY_LAW,
        "Makakilo": _NO_CITY_BY_LAW,
        "Metairie": _NO_CITY_BY_LAW,
        "Silver Spring": _NO_CITY_BY_LAW,
        "Sunrise Manor": _NO_CITY_BY_LAW,
        "Wahiawa": _NO_CITY_BY_LAW,
        "Waipahu": _NO_CITY_BY_LAW,
        "Waldorf": _NO_CITY_BY_LAW,
    },
    "language_script": {
        "Assamese": "CLDR calls the script Bangla, others Bengali or Assamese",
        "Bengali": "CLDR calls the script Bangla, others Bengali",
        "Burmese": "CLDR calls the script Myanmar, others Burmese",
        "Central Atlas Tamazight": "written in Tifinagh as well",
        "Kurdish": "written in Arabic letters as well",
        "Shan": "CLDR calls the script Myanmar, others Burmese or Shan",
    },
    "language_country": {
        "Coptic": "has no native speakers left",
        "Ewe": _TOO_OPEN,
        "Kashmiri": _TOO_OPEN,
        "Kurdish": _TOO_OPEN,
        "Main-Franconian": "counted as German by most",
        "Mandingo": _TOO_OPEN,
        "Punjabi": _TOO_OPEN,
        "Urdu": _TOO_OPEN,
    },
    "language_own_name": {
        "Asu": _NOT_ITS_NAME,
        "Azerbaijani": _NOT_ITS_NAME,
        "Basaa": "the same name, but for its spelling",
        "Chichewa": _NOT_ITS_NAME,
        "Fula": _NOT_ITS_NAME,
        "Javanese": _NOT_ITS_NAME,
        "Jju": _NOT_ITS_NAME,
        "Jola-Fonyi": _NOT_ITS_NAME,
        "Kpelle": "the same name, but for its spelling",
        "Lithuanian": _NOT_ITS_NAME,
        "Luyia": _NOT_ITS_NAME,
        "Makhuwa-Meetto": _NOT_ITS_NAME,
        "Meru": _NOT_ITS_NAME,
        "Samburu": _NOT_ITS_NAME,
        "Shambala": _NOT_ITS_NAME,
        "Somali": "the same name, but for its spelling",
    },
    "language_code": {"Norwegian": "its two written forms have codes of their own"},
    "currency_code": {
        "the Bulgarian lev": "given up for the euro in 2026, which CLDR does not have yet",
        "the Venezuelan bolívar": "VED is in use beside VES",
    },
}
