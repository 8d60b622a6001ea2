"""Every module of the package has a test file under its name, or a test file that names it after ``Covers``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import forgetmeter

TESTS = Path(__file__).parent
PACKAGE = Path(forgetmeter.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
}
DOCSTRINGS = {path: ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in TESTS.rglob("*.py")}


def covered(docstring: str) -> set[str]:
    """Return the modules named in the paragraphs that begin with ``Covers``."""
    paragraphs = [text for text in docstring.split("\n\n") if text.startswith("Covers ")]
    return {name for text in paragraphs for name in re.findall(r"``([^`]+)``", text)}


NAMED = {path.relative_to(TESTS).as_posix(): covered(docstring or "") for path, docstring in DOCSTRINGS.items()}


def test_every_module_has_a_test() -> None:
    # tests/ mirrors the package, so a namesake in another folder does not count.
    own = {
        ".".join((*path.relative_to(TESTS).parts[:-1], path.stem.removeprefix("test_")))
        for path in TESTS.rglob("test_*.py")
    }
    assert sorted(MODULES - own - set().union(*NAMED.values())) == []


def test_every_module_named_in_a_docstring_exists() -> None:
    unknown = {path: sorted(names - MODULES) for path, names in NAMED.items() if names - MODULES}
    assert unknown == {}


def test_no_two_test_files_have_the_same_name() -> None:
    """Outside of packages, pytest could not tell them apart."""
    names = [path.name for path in TESTS.rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_every_test_file_says_what_it_covers() -> None:
    assert [path for path, docstring in DOCSTRINGS.items() if not docstring] == []


def test_contributing_has_a_row_for_each_package() -> None:
    text = (TESTS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == packages


def test_only_names_after_covers_count() -> None:
    text = "Runs of ``cli.kill``.\n\nCovers ``errors``, ``cli.main`` and\n``runs.run``.\n\nSee ``study.running``."
    assert covered(text) == {"errors", "cli.main", "runs.run"}
