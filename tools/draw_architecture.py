"""Draws the packages and the imports between them: docs/images/architecture.svg.

python tools/draw_architecture.py [--check]: with --check, exit status 1 if the stored drawing is out of date.
"""

from __future__ import annotations

import argparse
import ast
import html
import sys
import textwrap
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PACKAGE = "forgetmeter"
DRAWING = ROOT / "docs" / "images" / "architecture.svg"

# One box for what every package may use: this package, and all modules outside the packages.
SHARED = "basics"

_BOX, _GAP, _HEIGHT, _ROW, _MARGIN = 196, 28, 72, 124, 16
_STYLE = """\
text { font: 13px system-ui, "Liberation Sans", sans-serif; fill: #1d2433; }
.name { font-weight: 600; font-size: 15px; }
.box { fill: #eef1fb; stroke: #7986cb; }
.torch { fill: #fdeee0; stroke: #d98c3f; }
.edge { fill: none; stroke: #68718a; stroke-width: 1.4; }
"""


def imports() -> tuple[dict[str, set[str]], set[str]]:
    """Return which packages each package imports, and which of them import torch themselves."""
    sys.path.insert(0, str(ROOT / "src"))
    graph = grimp.build_graph(
        PACKAGE, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    packages = {path.parent.name for path in (ROOT / "src" / PACKAGE).glob("*/__init__.py")}

    def room(module: str) -> str:
        name = module.split(".")[1]
        return name if name in packages else SHARED

    found: dict[str, set[str]] = {name: set() for name in packages | {SHARED}}
    with_torch = set()
    for module in graph.modules - {PACKAGE, f"{PACKAGE}.__main__"}:
        if not module.startswith(f"{PACKAGE}."):
            continue
        for imported in graph.find_modules_directly_imported_by(module):
            if imported.startswith(f"{PACKAGE}."):
                found[room(module)].add(room(imported))
            elif imported == "torch":
                with_torch.add(room(module))
    return {name: targets - {name} for name, targets in found.items()}, with_torch


def essential(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Leave out every import that others imply: a → c if there are a → b and b → c."""

    @cache
    def reached(name: str) -> frozenset[str]:
        return frozenset(edges[name].union(*(reached(target) for target in edges[name])))

    return {
        name: {target for target in targets if not any(target in reached(other) for other in targets - {target})}
        for name, targets in edges.items()
    }


def rows(edges: Mapping[str, set[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Lay the packages out in rows, so that each imports only from rows below its own.

    Returns:
        The rows from the top down, and for each import the names that its line goes through: an import that passes by
        a row has a place of its own there, such as ``runs>statistics:3``, so that no line is drawn behind a box.
    """

    @cache
    def height(name: str) -> int:
        return 1 + max((height(target) for target in edges[name]), default=-1)

    top = max(map(height, edges))
    laid = [sorted(name for name in edges if height(name) == level) for level in range(top, -1, -1)]
    paths = []
    for name in sorted(edges):
        for target in sorted(edges[name]):
            passed = [
                (top - level, f"{name}>{target}:{level}") for level in range(height(name) - 1, height(target), -1)
            ]
            for row, place in passed:
                laid[row].append(place)
            paths.append([name, *(place for _, place in passed), target])
    _untangle(laid, [(above, below) for path in paths for above, below in pairwise(path)])
    return laid, paths


def _untangle(laid: list[list[str]], steps: list[tuple[str, str]]) -> None:
    """Order each row by the mean position of its importers, from the top down, so that few lines cross."""
    middle: dict[str, float] = {}
    for row in laid:
        above = {name: [middle[upper] for upper, lower in steps if lower == name] for name in row}
        row.sort(key=lambda name: (sum(above[name]) / len(above[name]) if above[name] else 0.5, name))
        middle.update({name: (index + 1) / (len(row) + 1) for index, name in enumerate(row)})


def drawing() -> str:
    """Return the SVG."""
    edges, with_torch = imports()
    laid, paths = rows(essential(edges))
    wide = 2 * _MARGIN + max(map(_width, laid))
    tall = 2 * _MARGIN + (len(laid) - 1) * _ROW + _HEIGHT
    left: dict[str, float] = {}
    for row in laid:
        x = (wide - _width(row)) / 2
        for name in row:
            left[name] = x
            x += _box_width(name) + _GAP
    top = {name: _MARGIN + level * _ROW for level, row in enumerate(laid) for name in row}
    lines = [_line([(left[name] + _box_width(name) / 2, top[name]) for name in path]) for path in paths]
    boxes = [_box(name, left[name], top[name], torch=name in with_torch) for name in left if ">" not in name]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {tall:g}" role="img">',
        f"<title>The packages of {PACKAGE} and the imports between them</title>",
        f"<style>\n{_STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#68718a"/></marker></defs>',
        f'<rect width="{wide:g}" height="{tall:g}" fill="#ffffff"/>',
        *lines,
        *boxes,
        "</svg>\n",
    ]
    return "\n".join(parts)


def _box_width(name: str) -> int:
    return 0 if ">" in name else _BOX


def _width(row: list[str]) -> int:
    return sum(map(_box_width, row)) + _GAP * (len(row) - 1)


def _line(points: list[tuple[float, float]]) -> str:
    """Draw an import from box to box: a curve between rows, and straight down where it passes a row."""
    x, y = points[0]
    path = [f"M{x:g} {y + _HEIGHT:g}"]
    for index, (to_x, to_y) in enumerate(points[1:], start=1):
        bend = (_ROW - _HEIGHT) / 2
        path.append(f"C{x:g} {to_y - bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}")
        if index < len(points) - 1:
            path.append(f"V{to_y + _HEIGHT:g}")
        x = to_x
    return f'<path class="edge" marker-end="url(#head)" d="{" ".join(path)}"/>'


def _box(name: str, x: float, y: float, *, torch: bool) -> str:
    kind = "box torch" if torch else "box"
    middle = x + _BOX / 2
    text = [f'<text class="name" x="{middle:g}" y="{y + 20:g}" text-anchor="middle">{name}</text>']
    for index, line in enumerate(textwrap.wrap(_summary(name), 28, max_lines=3, placeholder=" …")):
        text.append(f'<text x="{middle:g}" y="{y + 37 + 14 * index:g}" text-anchor="middle">{html.escape(line)}</text>')
    box = f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{_BOX}" height="{_HEIGHT}" rx="6"/>'
    return "\n".join([box, *text])


def _summary(name: str) -> str:
    folder = ROOT / "src" / PACKAGE
    if name == SHARED:
        files = (*folder.glob("*.py"), *(folder / SHARED).glob("*.py"))
        return ", ".join(sorted(path.stem for path in files if not path.stem.startswith("__")))
    docstring = ast.get_docstring(ast.parse((folder / name / "__init__.py").read_text())) or ""
    return docstring.split("\n")[0].split(": ")[0].split(". ")[0].rstrip(".")


def main() -> int:
    """Write the drawing, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only check whether the stored drawing is up to date")
    current = drawing()
    if not parser.parse_args().check:
        DRAWING.write_text(current)
        return 0
    if DRAWING.exists() and DRAWING.read_text() == current:
        return 0
    print(f"{DRAWING.relative_to(ROOT)} is out of date: run python tools/draw_architecture.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
