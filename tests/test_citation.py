"""CITATION.cff names the version that is released."""

from __future__ import annotations

from pathlib import Path

import yaml

from forgetmeter.version import __version__

CITATION = yaml.safe_load((Path(__file__).parents[1] / "CITATION.cff").read_text("utf-8"))


def test_it_has_what_the_format_requires_and_the_current_version() -> None:
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    assert CITATION["version"] == __version__
