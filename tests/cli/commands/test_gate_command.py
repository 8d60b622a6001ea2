"""``forgetmeter gate``: exit codes, files, and requests that are refused; and the pytest fixture.

Covers ``cli.pytest_plugin``.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from made_up_run import MadeUpTask, write_made_up_run
from quick_commands import quick_command

PRUNED, ROUNDED = "l1_unstructured:overall:0.5", "round_to_nearest:overall:4"
pytest_plugins = ["pytester"]


def right(task, recipe, random):
    known = np.arange(task.items) % 10 < 8
    return known & (np.arange(task.items) % 20 != 0) if recipe == PRUNED else known


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    location = str(tmp_path_factory.mktemp("gate") / "run")
    return write_made_up_run(
        location, recipes=[PRUNED, ROUNDED], right=right, tasks=[MadeUpTask("plain", 400), MadeUpTask("few", 20)]
    )


def gate(*arguments, **options):
    command = [quick_command(), "gate", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, **options)


@pytest.mark.parametrize(
    ("arguments", "code", "last"),
    [
        (["--margin", "2pt", "--tasks", "plain", "--recipe", ROUNDED], 0, "PASS: ship it"),
        (["--margin", "2pt"], 10, "FAIL: do not ship it (0 of 2 variants pass)"),
        (["--margin", "2pt", "--recipe", ROUNDED], 11, "INCONCLUSIVE: cannot tell yet"),
        (["--margin", "2pt", "--recipe", ROUNDED, "--inconclusive", "pass"], 0, "INCONCLUSIVE: cannot tell yet"),
        (["--margin", "2pt", "--inconclusive", "pass"], 10, "FAIL: do not ship it (0 of 2 variants pass)"),
    ],
)
def test_exit_codes(run, arguments, code, last) -> None:
    done = gate(run, *arguments)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (code, last), done.stderr


def test_unmeasured_has_its_own_exit_code(tmp_path) -> None:
    location = write_made_up_run(
        str(tmp_path / "run"),
        recipes=[ROUNDED],
        right=lambda task, _recipe, random: random.random(task.items) < 0.25,
        tasks=[MadeUpTask("plain", 400)],
    )
    assert gate(location, "--margin", "2pt").returncode == 12


def test_json_alone_is_on_standard_output(run) -> None:
    done = gate(run, "--margin", "2pt", "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"], done.stderr) == (10, "FAIL", "")


def test_files_are_written(run, tmp_path) -> None:
    junit, markdown = tmp_path / "gate.xml", tmp_path / "gate.md"
    assert gate(run, "--margin", "2pt", "--junit", junit, "--markdown", markdown).returncode == 10
    assert junit.read_text().startswith("<?xml")
    assert markdown.read_text().startswith("## FAIL")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a condition"),
        (["--margin", "1"], "--margin: '1' is ambiguous"),
        (["--margin", "1pt", "--inconclusive", "maybe"], "unknown value of --inconclusive 'maybe'"),
        (["--margin", "1pt", "--junit", "missing/gate.xml"], "is in a folder that does not exist"),
        (["--policy", "missing.yaml"], "policy file 'missing.yaml' does not exist"),
        (["--max-size", "50%", "--tasks", "plain"], "--tasks needs --margin, --min-retained or --min-accuracy"),
        (["--min-agreement", "2"], "--min-agreement: '2' is not a valid limit of agreement"),
    ],
)
def test_wrong_requests_are_one_line_and_exit_code_2(run, arguments, words, tmp_path) -> None:
    done = gate(run, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_fixture_fails_skips_and_passes(run, pytester) -> None:
    pytester.makepyfile(
        f"""
        def test_passes(forgetmeter_gate):
            found = forgetmeter_gate({run!r}, margin="2pt", tasks="plain", recipes={ROUNDED!r})
            assert found.verdict == "PASS"

        def test_fails(forgetmeter_gate):
            forgetmeter_gate({run!r}, margin="2pt")

        def test_undecided(forgetmeter_gate):
            forgetmeter_gate({run!r}, margin="2pt", recipes={ROUNDED!r})

        def test_skipped(forgetmeter_gate):
            forgetmeter_gate({run!r}, margin="2pt", recipes={ROUNDED!r}, inconclusive="skip")

        def test_let_through(forgetmeter_gate):
            assert forgetmeter_gate({run!r}, margin="2pt", recipes={ROUNDED!r}, inconclusive="pass").verdict != "PASS"
        """
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    done = subprocess.run(command, check=False, cwd=pytester.path, capture_output=True, text=True, timeout=120)
    assert "2 failed, 2 passed, 1 skipped" in done.stdout
    assert "FAIL: do not ship it (0 of 2 variants pass)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--plan", "study.yaml", "--json"], "--json needs a run"),
        (["--plan", "study.yaml", "--junit", "gate.xml"], "--junit needs a run"),
        (["--plan", "study.yaml", "--recipe", ROUNDED], "--recipe needs a run"),
        (["RUN", "--flips", "10%"], "--flips needs --plan"),
        (["RUN", "--seen", "other"], "--seen needs --plan"),
    ],
)
def test_options_without_an_effect_are_refused(run, arguments, words) -> None:
    given = [run if each == "RUN" else each for each in arguments]
    done = gate(*given, "--margin", "1pt")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


STUDY = """\
models: [standard:decoder]
recipes: [round_to_nearest:overall:6]
tasks: ["facts:templates=0", divergence]
output: {output}
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(output=tmp_path / "run"))
    return path


def test_a_margin_that_the_items_decide_is_planned(study, tmp_path) -> None:
    done = gate("--plan", study, "--margin", "5pt", "--max-size", "50%")
    assert done.returncode == 0, done.stderr
    assert "drop ≤ 5 points" in done.stdout
    assert "): size ≤ 50% of the original" in done.stdout
    assert not (tmp_path / "run").exists()
    assert "may stop early" not in done.stdout
    study.write_text(f"{study.read_text()}evaluation: {{margin: 5pt}}\n")
    stopping = gate("--plan", study, "--margin", "5pt", "--max-size", "50%")
    assert "All this is for a fixed number of items. Where a cell may stop early" in stopping.stdout
    dry = subprocess.run(
        [sys.executable, "-m", "forgetmeter", "run", study, "--margin", "0.5pt", "--dry-run"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "drop ≤ 0.5 points" in dry.stdout


def test_a_margin_that_they_cannot_decide_is_refused_unless_allowed(study) -> None:
    done = gate("--plan", study, "--margin", "0.5pt")
    assert done.returncode == 2
    assert "error: 2,683 items of facts:templates=0 will probably not decide 'drop ≤ 0.5 points'" in done.stderr
    assert gate("--plan", study, "--margin", "0.5pt", "--allow-undecidable").returncode == 0
    assert gate("--plan", study, "--margin", "0.5pt", "--flips", "0.1%").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--plan", "study.yaml", "--margin", "1pt"], "give a run to check, or --plan"),
        (["--margin", "1pt"], "give a run to check, or --plan"),
        (["--plan", "study.yaml", "--margin", "1pt"], "study file 'study.yaml' does not exist"),
    ],
)
def test_wrong_plans(arguments, words, tmp_path) -> None:
    done = gate(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--min-retained", "98%"], "--plan is for margins on the drop"),
        (["--margin", "1pt", "--flips", "2"], "--flips: '2' is not a valid share"),
        (["--margin", "1pt", "--tasks", "piqa"], "unknown task 'piqa' in this study"),
        (["--margin", "1pt", "--seen", "missing"], "missing"),
    ],
)
def test_wrong_plans_of_a_study(study, arguments, words) -> None:
    done = gate("--plan", study, *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_dry_run_says_what_the_items_can_resolve(study) -> None:
    done = subprocess.run(
        [quick_command(), "run", str(study), "--dry-run"], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "facts:templates=0  2,683  10.0%  ±2.5 points" in done.stdout
