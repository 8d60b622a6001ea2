"""The script that makes the built-in facts, and its output against other packages."""

from __future__ import annotations

import copy
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from forgetmeter.probes.facts.task import FACT_FILE

RECORDED: dict[str, Any] = json.loads(FACT_FILE.read_text(encoding="utf-8"))


def _missing() -> str:
    """Return the recorded packages that are not installed in the recorded version."""
    found = {}
    for source in RECORDED["sources"]:
        try:
            found[source["package"]] = version(source["package"])
        except PackageNotFoundError:
            found[source["package"]] = "not installed"
    other = [
        f"{each['package']} {each['version']}"
        for each in RECORDED["sources"]
        if found[each["package"]] != each["version"]
    ]
    return f"needs {', '.join(other)} (pip install '.[facts]')" if other else ""


MISSING = _missing()
recorded_packages = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@recorded_packages
def test_the_recorded_packages_reproduce_the_file() -> None:
    from fact_sources.record import as_text, made

    assert as_text(made()) == FACT_FILE.read_text(encoding="utf-8")


@recorded_packages
def test_every_exclusion_is_needed() -> None:
    from fact_sources.relations import RELATIONS
    from fact_sources.rules import idle_exclusions

    assert {each.id: idle for each in RELATIONS if (idle := idle_exclusions(each))} == {}


@recorded_packages
def test_changes_are_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import make_facts

    other = copy.deepcopy(RECORDED)
    other["sources"][0]["version"] = "2.17.0"
    other["facts"][0]["object"] = "Elsewhere"
    other["facts"].append({"relation": "country_capital", "subject": "Oz", "object": "Emerald", "popularity": None})
    del other["facts"][1]
    monkeypatch.setattr(make_facts, "made", lambda: RECORDED)
    monkeypatch.setattr(make_facts, "idle_exclusions", lambda _: [])
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(other))
    first, second = RECORDED["facts"][:2]

    monkeypatch.setattr("sys.argv", ["make_facts.py", "--check", "--file", str(path)])
    assert make_facts.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        f"babel {RECORDED['sources'][0]['version']} is installed, recorded is 2.17.0",
        "country_capital: 1 added, 1 removed, 1 changed, popularity of 0 changed",
        f"  + {second['subject']} → {second['object']}",
        "  - Oz → Emerald",
        f"  ~ {first['subject']} → {first['object']}, was Elsewhere",
    ]
    assert json.loads(path.read_text()) == other

    monkeypatch.setattr("sys.argv", ["make_facts.py", "--write", "--file", str(path)])
    assert make_facts.main() == 0
    assert path.read_text(encoding="utf-8") == FACT_FILE.read_text(encoding="utf-8")

    monkeypatch.setattr("sys.argv", ["make_facts.py", "--check", "--file", str(path)])
    capsys.readouterr()
    assert make_facts.main() == 0
    assert capsys.readouterr().out == "'facts.json' is what the installed packages give\n"


@recorded_packages
def test_a_sample_covers_all_relations_and_depends_only_on_the_seed() -> None:
    from make_facts import sample

    drawn = sample(RECORDED, 200, 0)
    assert len(drawn) == len(set(drawn)) == 200
    assert {line.split(" | ")[0] for line in drawn} == {each["relation"] for each in RECORDED["relations"]}
    assert drawn == sample(RECORDED, 200, 0) != sample(RECORDED, 200, 1)


def objects(relation: str) -> dict[str, str]:
    return {fact["subject"]: fact["object"] for fact in RECORDED["facts"] if fact["relation"] == relation}


# Common names that are not in ISO 3166.
COUNTRIES = {
    "Brunei": "BN", "Cape Verde": "CV", "East Timor": "TL", "Ivory Coast": "CI", "Laos": "LA", "North Korea": "KP",
    "Russia": "RU", "South Korea": "KR", "Turkey": "TR", "Micronesia": "FM",
    "the Democratic Republic of the Congo": "CD", "the Republic of the Congo": "CG",
}  # fmt: skip


def country_code(subject: str) -> str:
    pycountry = pytest.importorskip("pycountry")
    if subject in COUNTRIES:
        return COUNTRIES[subject]
    return str(pycountry.countries.lookup(subject.removeprefix("the ")).alpha_2)


def test_country_codes_match_pycountry() -> None:
    assert {subject: country_code(subject) for subject in objects("country_code")} == objects("country_code")


def test_calling_codes_match_phonenumbers() -> None:
    phonenumbers = pytest.importorskip("phonenumbers")
    for subject, code in objects("country_calling_code").items():
        assert str(phonenumbers.country_code_for_region(country_code(subject))) == code, subject


def test_currency_codes_match_pycountry() -> None:
    pycountry = pytest.importorskip("pycountry")
    others = {"the Qatari riyal": "Rial", "the Uzbekistani som": "Sum", "the Israeli new shekel": "Sheqel"}
    others |= {"the Costa Rican colón": "Colon", "the Icelandic króna": "Krona", "the Nicaraguan córdoba": "Cordoba"}
    others |= {"the Tongan paʻanga": "Pa’anga"}
    for subject, code in objects("currency_code").items():
        name = pycountry.currencies.get(alpha_3=code).name
        assert others.get(subject, subject.split()[-1]).casefold() in name.casefold(), (subject, code, name)


def test_abbreviations_of_states_match_pycountry() -> None:
    pycountry = pytest.importorskip("pycountry")
    subdivisions = {each.name: each.code for each in pycountry.subdivisions.get(country_code="US")}
    given = objects("us_state_abbreviation")
    assert {subject: f"US-{code}" for subject, code in given.items()} == {each: subdivisions[each] for each in given}


def test_language_codes_match_pycountry() -> None:
    pycountry = pytest.importorskip("pycountry")
    others = {
        "Haitian Creole": "Haitian", "Kirundi": "Rundi", "Kyrgyz": "Kirghiz", "Luganda": "Ganda", "Maldivian": "Divehi",
        "Māori": "Maori", "Odia": "Oriya", "Ossetic": "Ossetian", "Pashto": "Pushto", "Punjabi": "Panjabi",
        "Tongan": "Tonga", "Uyghur": "Uighur",
    }  # fmt: skip
    for subject, code in objects("language_code").items():
        name = pycountry.languages.get(alpha_2=code).name
        assert others.get(subject, subject.split()[-1]) in name, (subject, code, name)
