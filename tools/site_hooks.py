"""mkdocs hooks that build the documentation site (mkdocs.yml)."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

from command_reference import command_reference
from site_pages import finished, made_pages, pages_of

_FETCHED = re.compile(
    r"""<(script|img|iframe|source)\b[^>]*\ssrc=["']?(https?:)?//|<link\b[^>]*\srel=["']?(style|pre)[^>]*//"""
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of each folder that the navigation names."""
    for entry in config.nav or []:
        for title, target in entry.items():
            if isinstance(target, str) and target.endswith("/"):
                entry[title] = [f"{target}index.md", *pages_of(target.rstrip("/"))]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are generated at build time."""
    for page, text in {**made_pages(), "reference/command-line.md": command_reference()}.items():
        files.append(File.generated(config, page, content=text))
    for source in ("exploring-a-run.ipynb", "results/README.md"):
        if (made := files.get_file_from_path(source)) is not None:
            files.remove(made)
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:  # noqa: ANN401 - mkdocs' Page
    """Resolve links and class names; a page outside the sections needs no list of its section's pages."""
    if page.parent is None:
        page.meta.setdefault("hide", ["navigation"])
    try:
        return finished(markdown, page.file.src_uri)
    except ValueError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error


def on_post_page(output: str, page: Any, **_: object) -> str:  # noqa: ANN401 - mkdocs' Page
    """Refuse a page that would fetch anything from the network when it is opened."""
    fetched = _FETCHED.search(output)
    if fetched:
        raise PluginError(f"{page.file.src_uri}: opening the page would fetch {output[fetched.start() :][:200]}")
    return output
