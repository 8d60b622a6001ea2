"""``forgetmeter demo`` on a few facts."""

import pytest

from forgetmeter.cli.commands import demo_command as command


@pytest.fixture
def short(monkeypatch):
    whole = command.demo_study

    def study(output):
        return {
            **whole(output),
            "recipes": ["l1_unstructured:overall:0.5", "dynamic_int8:overall"],
            "evaluation.limit": 3,
        }

    monkeypatch.setattr(command, "demo_study", study)


def test_the_study_is_the_papers_grid_on_all_standards():
    study = command.demo_study("runs/x")
    assert study["models"] == ["standard:encoder", "standard:encoder-decoder", "standard:decoder"]
    assert study["recipes"] == ["preset:paper/pruning", "preset:paper/quantization", "preset:paper/prune_then_quantize"]


def test_it_prints_a_grid_per_family_and_the_reports_path(short, tmp_path, capsys):
    command.demo_command(out=str(tmp_path / "run"))
    printed = capsys.readouterr().out
    for family in ("encoder", "encoder-decoder", "decoder"):
        assert f"standard:{family} answers " in printed
    assert printed.count("50% pruned") == printed.count("8-bit") == 3
    assert printed.splitlines()[-1] == f"report: {tmp_path / 'run'}/report.html"
    assert (tmp_path / "run" / "report.html").is_file()
    command.demo_command(out=str(tmp_path / "run"))
    assert "9 already stored" in capsys.readouterr().out
