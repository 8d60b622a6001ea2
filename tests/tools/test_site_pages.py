"""The pages of the documentation site."""

from __future__ import annotations

import re

import pytest

import forgetmeter
from command_reference import command_reference
from site_pages import DOCS, finished, made_pages, notebook_page, pages_of


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("index.md", "docs/report.md", "report.md"),
        ("index.md", "docs/decisions/", "decisions/index.md"),
        ("index.md", "docs/exploring-a-run.ipynb", "exploring-a-run.md"),
        ("index.md", "CONTRIBUTING.md#habits", "contributing.md#habits"),
        ("extending.md", "../CONTRIBUTING.md#habits", "contributing.md#habits"),
        ("decisions/016-standards.md", "../results/standards.md", "../results/standards.md"),
        ("decisions/016-standards.md", "020-intervals.md", "020-intervals.md"),
        ("index.md", "docs/results/README.md", "results/index.md"),
        ("results/index.md", "data/standards.parquet", "data/standards.parquet"),
        ("index.md", "https://arxiv.org/abs/2312.00960", "https://arxiv.org/abs/2312.00960"),
    ],
)
def test_links_between_files_become_links_between_pages(page: str, link: str, expected: str) -> None:
    assert finished(f"see [there]({link}).", page) == f"see [there]({expected})."


def test_escapes_specific_to_github_become_entities() -> None:
    assert finished(r"| \<0.001 \* |", "index.md") == r"| &lt;0.001 \* |"


def test_every_public_name_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "python.md").read_text()
    for name in set(forgetmeter.__all__) - {"__version__"}:
        assert f"::: forgetmeter.{name}\n" in page


def test_classes_of_the_reference_exist() -> None:
    for page in ("reference/python.md", "reference/plugins.md"):
        text = finished((DOCS / page).read_text(), page)
        assert all(name.startswith("forgetmeter.") for name in re.findall(r"^::: (.+)$", text, re.MULTILINE))
    with pytest.raises(ValueError, match="0 modules define"):
        finished("::: NoSuchClass", "reference/python.md")


def test_the_command_reference_has_every_command_and_option() -> None:
    page = command_reference()
    for command in ("run", "show", "advise", "list methods", "data fetch"):
        assert f"## `forgetmeter {command}`\n" in page
    assert "| `--max-bytes" in page
    assert "| `RUN` |" in page


def test_folders_have_an_index_of_their_pages() -> None:
    pages = made_pages()
    for folder in ("decisions", "results"):
        assert pages_of(folder)
        for page in pages_of(folder):
            assert f"]({page.removeprefix(folder + '/')})" in pages[f"{folder}/index.md"]


def test_a_notebook_becomes_a_page() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# A title"]},
        {
            "cell_type": "code",
            "source": ["1 + 1\n", "plot()"],
            "outputs": [
                {"name": "stderr", "text": ["a warning"]},
                {"data": {"text/plain": ["2\n"]}},
                {"data": {"image/png": "aGk=\n", "text/plain": ["Chart"]}},
            ],
        },
    ]
    page = notebook_page({"cells": cells})
    assert page.startswith("# A title\n\n```python\n1 + 1\nplot()\n```\n\n```text\n2\n```\n\n<img")
    assert 'base64,aGk="' in page
    assert "warning" not in page
