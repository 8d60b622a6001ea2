"""Pages of the documentation site that are generated at build time, so that no copy goes stale."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

_PAGE_OF_FILE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "docs/exploring-a-run.ipynb": "exploring-a-run.md",
    "docs/decisions/": "decisions/index.md",
    "docs/results/": "results/index.md",
    "docs/results/README.md": "results/index.md",
}
_FILE_OF_PAGE = {page: name for name, page in _PAGE_OF_FILE.items()}

_INTRODUCTIONS = {
    "decisions": "# Decisions\n\nOne page for each design choice that a newcomer would question.\n",
}

_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
# `::: Run`, or `::: checkpoints.Written` where two packages have a class of that name.
_CLASS = re.compile(r"^::: (?:(?P<package>[a-z]\w*)\.)?(?P<name>[A-Z]\w+)$", re.MULTILINE)


def made_pages() -> dict[str, str]:
    """Return the Markdown of each page that is generated from a file outside the site, by its path in the site."""
    copied = {page: (ROOT / name).read_text() for name, page in _PAGE_OF_FILE.items() if name.endswith(".md")}
    notebook = json.loads((DOCS / "exploring-a-run.ipynb").read_text())
    indexes = {f"{folder}/index.md": _index(folder) for folder in _INTRODUCTIONS}
    return {**copied, "exploring-a-run.md": notebook_page(notebook), **indexes}


def pages_of(folder: str) -> list[str]:
    """Return the paths of a folder's pages in the site, in order."""
    return sorted(f"{folder}/{path.name}" for path in (DOCS / folder).glob("*.md") if path.name != "README.md")


def finished(markdown: str, page: str) -> str:
    """Return a page's text for the site, with links to pages and full names of classes.

    Args:
        markdown: The page's text.
        page: The page's path in the site, such as ``decisions/index.md``.

    Raises:
        ValueError: A class does not exist, or several have its name.
    """
    named = _CLASS.sub(lambda found: f"::: {_full_name(found['name'], found['package'])}", markdown)
    # CommonMark, which GitHub shows, has this escape; Python-Markdown would print its backslash.
    escaped = named.replace("\\<", "&lt;")
    return _LINK.sub(lambda link: _site_link(link["target"], page) + (link["anchor"] or ""), escaped)


def notebook_page(notebook: dict[str, Any]) -> str:
    """Return a notebook as Markdown: its text, its code, and what the code printed or drew."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [_shown(output) for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    return "\n\n".join(parts) + "\n"


def _site_link(target: str, page: str) -> str:
    """Return a link between files of the repository as one between pages of the site."""
    source = _FILE_OF_PAGE.get(page, f"docs/{page}")
    in_repository = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    in_repository += "/" if target.endswith("/") else ""
    in_site = _PAGE_OF_FILE.get(in_repository, in_repository.removeprefix("docs/"))
    return posixpath.relpath(in_site, posixpath.dirname(page) or ".")


def _full_name(name: str, package: str | None) -> str:
    """Look up which module defines a class, so that reference pages survive moved modules."""
    source = ROOT / "src"
    modules = (source / "forgetmeter" / (package or "")).rglob("*.py")
    defining = [path for path in modules if re.search(rf"^class {name}\b", path.read_text(), re.MULTILINE)]
    if len(defining) != 1:
        raise ValueError(f"::: {name}: {len(defining)} modules define a class of this name; write ::: PACKAGE.{name}")
    return ".".join((*defining[0].relative_to(source).with_suffix("").parts, name))


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join("".join(data["image/png"]).split())
        return f'<img alt="Output of the cell above" src="data:image/png;base64,{picture}">'
    return f"```text\n{''.join(data.get('text/plain', output.get('text', ''))).rstrip()}\n```"


def _index(folder: str) -> str:
    titles = {page: (DOCS / page).read_text().split("\n", 1)[0].lstrip("# ") for page in pages_of(folder)}
    lines = [f"- [{title}]({posixpath.basename(page)})" for page, title in titles.items()]
    return "\n".join([_INTRODUCTIONS[folder], *lines]) + "\n"
