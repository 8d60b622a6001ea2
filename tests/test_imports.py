"""Modules import each other at the top and in one direction, and no two name a type alike.

An import inside a function gives its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import forgetmeter

SOURCE = Path(forgetmeter.__file__).parent
MOST_INSIDE_FUNCTIONS = 15


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("forgetmeter", exclude_type_checking_imports=True, cache_dir=None)


def test_there_are_no_import_cycles(graph: grimp.ImportGraph) -> None:
    assert len(graph.modules) > 100
    rings = {
        module
        for module in graph.modules
        if any(module in graph.find_upstream_modules(each) for each in graph.find_modules_directly_imported_by(module))
    }
    assert rings == set()


def imports_inside_functions() -> Iterator[tuple[str, int]]:
    """Return file and line of each import of the package's own modules inside a function."""
    for file in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(file.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        lines = {
            node.lineno
            for function in functions
            for node in ast.walk(function)
            if (isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("forgetmeter")))
            or (isinstance(node, ast.Import) and any(each.name.startswith("forgetmeter") for each in node.names))
        }
        yield from ((file.relative_to(SOURCE).as_posix(), line) for line in sorted(lines))


def test_imports_inside_functions_are_few_and_give_a_reason() -> None:
    counted = list(imports_inside_functions())
    assert len(counted) <= MOST_INSIDE_FUNCTIONS
    for file, line in counted:
        above = (SOURCE / file).read_text().splitlines()[: line - 1]
        while (file, len(above)) in counted:
            above.pop()
        assert above[-1].lstrip().startswith("#"), f"{file}:{line} does not say why it is inside a function"


def types_by_name() -> dict[str, list[str]]:
    """Return the modules that define each class or alias of a type, by its name."""
    found: dict[str, list[str]] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(file.read_text())
        names = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        aliases = [name.id for name in assigned if isinstance(name, ast.Name) and name.id != name.id.upper()]
        for name in names + [alias for alias in aliases if alias.lstrip("_")[0].isupper()]:
            found.setdefault(name, []).append(file.relative_to(SOURCE).as_posix())
    return found


def test_no_two_types_have_the_same_name() -> None:
    found = types_by_name()
    assert {"Run", "Level"} <= set(found)
    assert {name: files for name, files in found.items() if len(files) > 1} == {}
