"""The files of a report and where they are written.

Covers ``cli.commands.report_command``.
"""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from hostile_run import HALF, write_hostile_run

from forgetmeter.cli.commands.report_command import report_command
from forgetmeter.errors import UserError
from forgetmeter.report.written_report import make_report, write_report
from forgetmeter.results.results import open_run
from forgetmeter.runs.filesystem import RunFolder

ANSWERS = {"baseline": [True] * 20, HALF: [True] * 10 + [False] * 10}


def test_a_report_is_a_page_with_its_charts_and_tables(tmp_path, capsys):
    location = write_hostile_run(str(tmp_path / "run"), ANSWERS)
    report_command(location)
    assert capsys.readouterr().out.startswith(f"{location}/report.html (0.")
    figures = sorted(path.name for path in Path(location, "figures").iterdir())
    assert {path.rpartition(".")[2] for path in figures} == {"svg", "png"}
    assert [path[:-3] for path in figures[::2]] == [path[:-3] for path in figures[1::2]]
    assert r"\toprule" in Path(location, "tables", "results.tex").read_text()
    assert "| recipe |" in Path(location, "tables", "results.md").read_text()
    # A report is not part of the run, which reads as before.
    assert len(open_run(location).cells) == 2


def test_a_run_at_a_url_gets_its_report_at_that_url():
    location = write_hostile_run("memory://reports/run", ANSWERS)
    assert write_report(make_report(open_run(location)), location) == "memory://reports/run/report.html"
    assert fsspec.filesystem("memory").cat_file("/reports/run/report.html").startswith(b"<!doctype html>")


def test_it_is_written_to_the_given_folder(tmp_path):
    location = write_hostile_run(str(tmp_path / "run"), ANSWERS)
    report_command(location, out=str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "report.html").is_file()
    assert not Path(location, "report.html").exists()


def test_the_same_run_gives_the_same_report(tmp_path):
    location = write_hostile_run(str(tmp_path / "run"), ANSWERS)
    assert make_report(open_run(location)) == make_report(open_run(location))


def test_an_unwritable_place_gives_a_one_line_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="the report cannot be written to '.*file' .*; choose another --out"):
        write_report({"report.html": b""}, str(tmp_path / "file"))


@pytest.mark.parametrize("full_at", ["figures/a.svg", "tables/results.md", "report.html"])
def test_a_full_disk_leaves_no_part_of_a_report(tmp_path, monkeypatch, full_at):
    write = RunFolder.write

    def written(self, path, content):
        if path == full_at:
            (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
            raise OSError(28, "No space left on device")
        write(self, path, content)

    monkeypatch.setattr(RunFolder, "write", written)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mine.txt").write_text("mine")
    names = ("report.html", "figures/a.svg", "figures/b.svg", "tables/results.md")
    with pytest.raises(UserError, match="No space left on device"):
        write_report(dict.fromkeys(names, b"x"), str(tmp_path))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine.txt", "tables"]
