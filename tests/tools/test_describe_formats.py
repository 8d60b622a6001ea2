"""The page about formats says what is true.

Covers ``models.checkpoint`` and ``models.on_disk.quantization``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from models.formats.specimen import Specimen

from describe_formats import BREAK, PAGE, READ, REFUSED, is_installed, page, reading, refusal

ROWS = [
    (form, variant, *others)
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| format", "| ---"))
    for form, variants, *others in [line.strip("| ").split(" | ")]
    for variant in variants.split(BREAK)
]
"""Of each variant, the cells on the page."""


@pytest.mark.parametrize("specimen", READ, ids=str)
def test_each_format_is_read_as_the_page_says(specimen: Specimen, tmp_path: Path) -> None:
    if not is_installed(specimen.package):
        pytest.skip(f"{specimen.package} is not installed")
    assert reading(specimen, tmp_path / "model") in ROWS


@pytest.mark.parametrize("specimen", REFUSED, ids=str)
def test_each_refusal_is_the_line_on_the_page(specimen: Specimen, tmp_path: Path) -> None:
    if specimen.package and is_installed(specimen.package):
        pytest.skip(f"{specimen.package} is installed")
    assert refusal(specimen, tmp_path / "model") in ROWS


def test_the_page_has_a_row_for_each_format_and_no_other() -> None:
    known = [(each.format, each.variant or "—", each.makers) for each in (*READ, *REFUSED)]
    assert sorted(row[:3] for row in ROWS) == sorted(known)
    assert page([], []).partition("\n| ")[0] in PAGE.read_text(encoding="utf-8")


def test_only_formats_that_round_activations_differ_from_their_weights() -> None:
    """And NVFP4, which its library unpacks to bfloat16."""
    different = [
        row for row in ROWS if len(row) > len(("format", "variant", "made by", "message")) and row[5] != "equal"
    ]
    assert all("ctivation" in row[1] or "NVFP4" in row[1] for row in different)
    assert not any(row[5] == "different" for row in different)
