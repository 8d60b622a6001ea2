"""The drawing of the packages in docs/architecture.md."""

from __future__ import annotations

from draw_architecture import DRAWING, drawing, essential, rows


def test_the_stored_drawing_matches_the_current_imports() -> None:
    assert DRAWING.read_text() == drawing(), "run python tools/draw_architecture.py"


def test_implied_imports_are_not_drawn() -> None:
    assert essential({"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}) == {
        "a": {"b", "d"},
        "b": {"c"},
        "c": set(),
        "d": set(),
    }


def test_packages_import_only_from_rows_below_and_lines_pass_by_boxes() -> None:
    laid, paths = rows({"a": {"b", "d"}, "b": {"c"}, "c": {"d"}, "d": set(), "e": {"d"}})
    assert [sorted(name for name in row if ">" not in name) for row in laid] == [["a"], ["b"], ["c", "e"], ["d"]]
    assert ["a", "a>d:2", "a>d:1", "d"] in paths
    assert ["e", "d"] in paths
