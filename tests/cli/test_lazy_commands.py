"""The command line in processes of its own, some of them new, as users start them.

Covers ``cli.main``, ``cli.commands.advise_command``, ``cli.commands.data_command``, ``cli.commands.list_command``,
``cli.commands.run_command`` and ``cli.commands.show_command``.
"""

from __future__ import annotations

import csv
import io
import json
import resource
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from quick_commands import forgetmeter

from forgetmeter.cli.lazy_commands import SUMMARIES, LazyCommand
from forgetmeter.results.results import open_run

COMMAND = (sys.executable, "-c", "from forgetmeter.cli.main import main; main()")


def in_new_process(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == expect, done.stderr
    return done


@pytest.mark.parametrize("arguments", [("list", "methods"), ("list", "scopes"), ("run", "--help")])
def test_output_that_is_cut_off_is_no_error(arguments: tuple[str, ...]) -> None:
    """As by `| head -1`."""
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_help_is_quick() -> None:
    """Measured in processor time, which other processes do not affect."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "run" in in_new_process("--help").stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.5


@pytest.mark.parametrize("command", [("run",), ("show",), ("list",)])
def test_each_command_has_help(command: tuple[str, ...]) -> None:
    assert "Usage" in forgetmeter(*command, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "give a study file, or --model"),
        (["run", "none.yaml"], "study file 'none.yaml' does not exist"),
        (["run", "."], "'.' is a folder, not a study file; a model is named with --model"),
        (["run", "--limit", "many"], "--limit"),
        (["run", "--no-such-option"], "No such option"),
        (["run", "--model", f"./{'x' * 300}", "--tasks", "piqa", "--out", "x"], "too long for the name of a file"),
        (["run", "--model", "./none", "--tasks", "x" * 300, "--out", "x"], "unknown task 'xxx"),
        (["run", "--model", "./none", "--tasks", f"file:{'x' * 300}.csv", "--out", "x"], "too long for the name of a"),
        (["rum"], "No such command 'rum'"),
        (["show", "no/such/run"], "'no/such/run' is not a run"),
        (["show", "no/such/run", "--format", "excel"], "unknown format 'excel'"),
        (["run", "--model", "gpt 2", "--tasks", "piqa", "--out", "x"], "--model: 'gpt 2' is not a valid model"),
        (["run", "--model", "./none", "--tasks", "piqa", "--out", "x"], "the folder does not exist"),
        (["run", "--model", "./none", "--tasks", "pika", "--out", "x"], "unknown task 'pika'; did you mean"),
        (
            ["run", "--model", "./none", "--tasks", f"file={__file__}", "--out", "x"],
            f"unknown task 'file={__file__}'; for the questions in this file, write file:{__file__}",
        ),
        (["run", "--model", "./none", "--tasks", "piqa", "--recipes", "l1:all", "--out", "x"], "unknown scope 'all'"),
        (["run", "--model", "./none", "--tasks", "piqa"], "--out is missing"),
        (["run", "--model", "./none", "--tasks", "piqa", "--out", "memory://x"], "would end with the command; choose"),
        (["demo", "--out", "memory://x"], "would end with the command; choose"),
        (["list", "relations", "piqa"], "task 'piqa' has no relations (allowed: lama/squad"),
        (["list", "relations", "lama/foo"], "unknown task 'lama/foo'"),
        (["list", "relations", "bear", "--data", "no/such"], "'no/such/BEAR' does not exist"),
        (["run", "--model", "./none", "--executor", "cloud"], "unknown executor 'cloud'"),
        (["advise", "gpt 2", "--tasks", "piqa", "--max-bytes", "0.5"], "MODEL: 'gpt 2' is not a valid model"),
        (["sensitivity", "gpt 2", "--tasks", "piqa", "--out", "x"], "MODEL: 'gpt 2' is not a valid model"),
        (["advise", "--model", "standard:decoder"], "give the model as the first argument"),
        (["compare", "./one", "--candidates=./two"], "give the candidates as an argument"),
        (["advise", "standard:decoder", "--tasks", "facts"], "Missing option '--max-bytes'"),
        (["advise", "standard:decoder", "--tasks", "facts", "--max-bytes", "2"], "'2' is not a valid share"),
        (["advise", "standard:decodr", "--tasks", "facts", "--max-bytes", ".5"], "did you mean 'decoder'"),
        (
            ["run", "--model", "x\udcff", "--tasks", "piqa", "--out", "x"],
            r"argument 'x\udcff' is not valid UTF-8; rename",
        ),
        (
            ["compress", "./none", "preset:paper/all", "--out", "x"],
            "'preset:paper/all' stands for several recipes; give",
        ),
        (["data", "fetch", "ber"], "unknown probe 'ber'; did you mean 'bear'?"),
        (["data", "fetch", "bear", "lama", "--from", "x.zip"], "--from applies to one probe"),
        (["data", "fetch", "bear", "--data", "no/such", "--from", "x.zip"], "'x.zip' does not exist"),
    ],
)
def test_a_wrong_request_gives_one_line_per_error(arguments: list[str], says: str) -> None:
    done = forgetmeter(*arguments, expect=2)
    assert says in done.stderr
    assert done.stdout == ""
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["import"], ["list"], ["data"], ["standards"]])
def test_a_missing_command_prints_the_help_and_what_to_do(arguments: list[str]) -> None:
    done = forgetmeter(*arguments, expect=2)
    assert "Usage: forgetmeter" in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == "error: name a command"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize(
    "arguments", [["list", "methods"], ["--help"], ["list", "scopes", "--model", "standard:decoder"]]
)
def test_output_on_a_full_disk_ends_in_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: the output cannot be written (No space left on device)"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("error", "is_bug"), [("MemoryError()", False), ("OSError(12, 'none')", True)])
def test_only_a_lack_of_memory_is_no_bug(error: str, is_bug: bool) -> None:
    code = f"import forgetmeter.cli.main as cli\ndef app(**_): raise {error}\ncli.app = app; cli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) == is_bug
    if not is_bug:
        assert done.stderr == (
            "error: out of memory (MemoryError); what was stored before is complete; free memory and repeat the "
            "command\n"
        )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", ">&-"])
def test_a_run_does_not_depend_on_where_its_output_goes(tmp_path: Path, streams: str) -> None:
    asked = "run --model standard:decoder --tasks facts:templates=0 --limit 1 --recipes baseline --out"
    line = f"{shlex.join(COMMAND)} {asked} {shlex.quote(str(tmp_path / 'run'))} {streams}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(open_run(str(tmp_path / "run")).summary.cells) == 1


def test_lists_name_everything_available() -> None:
    assert "l1_unstructured:SCOPE:FRACTION" in forgetmeter("list", "methods").stdout
    assert "preset:paper/pruning  (27 recipes)" in forgetmeter("list", "presets").stdout
    assert "attention.query" in forgetmeter("list", "scopes").stdout
    assert "package:MODULE" in forgetmeter("list", "models").stdout
    assert "winogrande" in forgetmeter("list", "tasks", "wino").stdout.splitlines()
    assert "no task's name contains 'zzzz'" in forgetmeter("list", "tasks", "zzzz", expect=2).stderr
    probes = forgetmeter("list", "tasks").stdout.splitlines()[:10]
    assert [line.partition("[")[0] for line in probes] == [
        "lama/squad", "lama/google_re", "lama/trex", "lama/conceptnet", "bear", "popqa", "facts", "file:PATH",
        "perplexity:file=PATH", "divergence",
    ]  # fmt: skip
    assert "[:source=template|evidence]" in probes[2]
    assert probes[8:] == ["perplexity:file=PATH[:window=N]", "divergence[:file=PATH][:window=N]"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a made-up BEAR/."""
    bear = tmp_path / "data" / "BEAR"
    bear.mkdir(parents=True)
    relation = {"templates": ["Of [X], [Y] is best."], "answer_space_labels": ["tea", "ink"]}
    (bear / "metadata_relations.json").write_text(json.dumps({"P9": relation, "P10": relation}))
    for name in ("P9", "P10"):
        facts = [{"sub_label": f"thing {each}", "answer_idx": each % 2} for each in range(600)]
        (bear / f"{name}.jsonl").write_text("\n".join(map(json.dumps, facts)))
    return tmp_path / "data"


def test_relations_of_a_probe(data: Path) -> None:
    lines = forgetmeter("list", "relations", "bear", "--data", str(data)).stdout.splitlines()
    assert lines[0].startswith("bear: BEAR (Wiland et al. 2024)")
    words = [line.split() for line in lines]
    assert ["P10", "Of", "[X],", "[Y]", "is", "best.", "600", "600"] in words
    assert ["2", "relations", "1,200", "1,200"] in words


def test_advice_as_text_and_as_json(tmp_path: Path) -> None:
    recipes = "round_to_nearest:overall:8,l1_unstructured:overall:0.7,l1_unstructured:overall:0.1"
    request = ["advise", "standard:encoder", "--tasks", "facts:templates=0", "--max-bytes", "0.85", "--limit", "10"]
    request += ["--recipes", recipes, "--out", str(tmp_path / "advice")]
    done = forgetmeter(*request)
    assert done.stdout.startswith("Use round_to_nearest:overall:8\n")
    assert f"forgetmeter report {tmp_path}/advice/last" in done.stdout
    found = json.loads(forgetmeter(*request, "--json").stdout)
    assert found["recipe"] == "round_to_nearest:overall:8"
    assert found["most_bytes"] == int(0.85 * found["dense_bytes"])
    assert "facts" in forgetmeter("show", f"{tmp_path}/advice/last").stdout


def test_a_probe_is_fetched_once(data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bear.zip", "w") as archive:
        for path in (data / "BEAR").iterdir():
            archive.write(path, f"BEAR-main/BEAR/{path.name}")
    request = ["data", "fetch", "bear", "--data", str(tmp_path / "new")]
    done = forgetmeter(*request, "--from", str(tmp_path / "bear.zip"))
    assert "fetched from" in done.stdout
    assert "tasks: bear (2 relations)" in done.stdout
    assert "already there" in forgetmeter(*request).stdout


def test_a_probes_data_is_checked_up_front(data: Path, tmp_path: Path) -> None:
    request = ["run", "--model", "./none", "--recipes", "baseline", "--out", str(tmp_path / "run")]
    done = forgetmeter(*request, "--tasks", "bear:relations=P9,bear:relations=P8", "--data", str(data), expect=2)
    tasks = [line for line in done.stderr.splitlines() if line.startswith("error: --tasks")]
    assert tasks == ["error: --tasks: unknown relation 'P8' in task 'bear' (allowed: P9, P10)"]
    done = forgetmeter(*request, "--tasks", "lama/trex", "--data", str(data), expect=2)
    assert f"'{data / 'LAMA'}' does not exist" in done.stderr


def test_scopes_of_a_model_are_counted(llama_folder: Path) -> None:
    lines = forgetmeter("list", "scopes", "--model", str(llama_folder)).stdout.splitlines()
    # 2 layers of 4 projections, of which keys and values are grouped.
    assert ["attention", "8", "6,144"] in [line.split()[:3] for line in lines]
    assert "the folder does not exist" in forgetmeter("list", "scopes", "--model", "./none", expect=2).stderr
    engine = forgetmeter("list", "scopes", "--model", "engine:llama_cpp,model=x", expect=2).stderr
    assert "the weights of an engine are not accessible; name the model that it runs" in engine


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ("--model", "standard:encoder", "--tasks", "perplexity:file=TEXT"),
            "whole texts are supported only for decoders",
        ),
        (("--model", "standard:decoder", "--tasks", "facts", "--seed", str(2**63)), "--seed"),
    ],
)
def test_a_dry_run_refuses_what_a_run_would(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    text = tmp_path / "text.txt"
    text.write_text("A text.\n\nAnother one.\n")
    request = ["run", *(each.replace("TEXT", str(text)) for each in options), "--out", str(tmp_path / "run")]
    planned = forgetmeter(*request, "--limit", "1", "--dry-run", expect=2)
    assert says in planned.stderr
    assert planned.stderr.splitlines()[-1] == forgetmeter(*request, "--limit", "1", expect=2).stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_a_new_process_refuses_as_quick_commands_do(tmp_path: Path) -> None:
    request = ["run", "--model", "standard:decodr", "--tasks", "facts", "--out", str(tmp_path / "run")]
    assert in_new_process(*request, expect=2).stderr == forgetmeter(*request, expect=2).stderr


def test_a_plan_in_a_pipe_shows_names_whole(tmp_path: Path) -> None:
    recipe = (
        "l1_unstructured:decoder/layers[0-1]/attention.query:0.55:pool=matrix+round_to_nearest:overall:4:group_size=32"
    )
    out = str(tmp_path / "[red]of mine")
    request = ["run", "--model", "standard:decoder", "--tasks", "facts:templates=0", "--recipes", recipe, "--out", out]
    planned = forgetmeter(*request, "--limit", "1", "--dry-run")
    plan = planned.stdout
    assert "tokens to process; per variant, " in planned.stderr
    assert any(line.split()[:2] == ["standard:decoder", recipe] for line in plan.splitlines())
    assert any(line.endswith(f"into {out}") for line in plan.splitlines())


@pytest.mark.data
def test_from_flags_to_every_format(llama_folder: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    request = ["run", "--model", str(llama_folder), "--tasks", "piqa,winogrande", "--limit", "5", "--out", out]
    request += ["--recipes", "l1_unstructured:overall:0.5,dynamic_int8:head"]
    plan = forgetmeter(*request, "--dry-run")
    assert "6 cells, 6 to do; 5 items per task;" in plan.stdout
    assert not Path(out).exists()

    done = in_new_process(*request)
    assert done.stdout.splitlines() == [f"6 of 6 cells done: {out}", f"show the results: forgetmeter show {out}"]
    assert "dynamic_int8:head on winogrande: 5 items" in done.stderr
    assert "\x1b" not in done.stderr

    again = forgetmeter(*request)
    assert "6 already stored" in again.stdout
    assert again.stderr == ""

    assert "l1_unstructured:overall:0.5" in forgetmeter("show", out).stdout
    rows = list(csv.DictReader(io.StringIO(forgetmeter("show", out, "--format", "csv").stdout)))
    assert len(rows) == 6
    document = json.loads(forgetmeter("show", out, "--format", "json").stdout)
    assert len(document["cells"]) == 6
    assert "| `dynamic_int8:head` |" in forgetmeter("show", out, "--format", "markdown").stdout
    assert r"\toprule" in forgetmeter("show", out, "--format", "latex").stdout


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_programs_help_repeats_each_commands_first_paragraph(name: str) -> None:
    assert LazyCommand(name).loaded().help.partition("\n\n")[0] == SUMMARIES[name]


def test_help_waits_for_no_heavy_library() -> None:
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom forgetmeter.cli.lazy_commands import SUMMARIES\n"
        "from forgetmeter.cli.main import app\n"
        "for name in SUMMARIES:\n    assert CliRunner().invoke(app, [name, '--help']).exit_code == 0, name\n"
        "print([name for name in ('torch', 'transformers', 'pandas', 'scipy', 'duckdb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "mistake",
    [
        ["--model", "./none"],
        ["--model", "standard:decoder", "--recipes", "magic:overall:0.5"],
        ["--model", "standard:decoder", "--limit", "-1"],
        ["--model", "standard:decoder", "--recipes", "l1_unstructured:everywhere:0.5"],
    ],
)
def test_mistakes_in_names_are_found_without_heavy_imports(mistake: list[str], tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("{models: [standard:decoder], recipes: [l1_unstructured:overall:0.5], tasks: [facts], output: run}")
    script = "import sys; from forgetmeter.cli import main\ntry: main.main()\nfinally: print(*sys.modules)"
    request = [sys.executable, "-c", script, "run", str(file), *mistake]
    done = subprocess.run(request, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 2, done.stderr
    assert not {"torch", "transformers"} & set(done.stdout.split())
