"""Feeds changed files to a parser, guided by the branches they reach, until it raises anything but a UserError.

    pip install atheris
    python tools/fuzz_parsers.py TARGET [-max_total_time=3600]

Further options are libFuzzer's. ``tests/test_mutated_input.py`` changes the same files at random, for a minute and
without this package.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["forgetmeter"]):
    from forgetmeter.config.policy import read_policy
    from forgetmeter.config.study_file import read_study_file
    from forgetmeter.errors import UserError
    from forgetmeter.importing.table.table import TableColumns, import_table
    from forgetmeter.models.checkpoint import open_checkpoint
    from forgetmeter.probes.loading import load_task
    from forgetmeter.specs.recipe import parse_recipe

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_mutated_input import QUESTIONS, STUDY, TABLES
from tiny_models import make_llama, make_tokenizer
from written_ggufs import write_llama_gguf

RECIPE = b"l1_unstructured:regex(mlp|attn):0.5:pool=layer+round_to_nearest:layers[0-1]/overall:4"
POLICY = b"""version: 1
conditions:
  - drop: {max: 1pt, by: relation}
  - retained: {min: 98%, tasks: [facts]}
  - size: {max: 70%}
"""
COLUMNS = TableColumns(item="id", variant="model", correct="ok")


def recipe(path: Path) -> None:
    """Parse a recipe; its text must parse to the same."""
    parsed = parse_recipe(path.read_bytes().decode(errors="replace"))
    assert parse_recipe(str(parsed)) == parsed


def model_part(folder: Path, name: str) -> tuple[list[bytes], Callable[[Path], object]]:
    """Return a tiny model's file, and what opens the model with this file changed."""
    model = folder / "model"
    make_llama().save_pretrained(model)
    make_tokenizer().save_pretrained(model)

    def read(path: Path) -> None:
        shutil.copyfile(path, model / name)
        open_checkpoint(model).check()

    return [(model / name).read_bytes()], read


def targets(folder: Path) -> dict[str, Callable[[], tuple[list[bytes], Callable[[Path], object]]]]:
    """Return what gives the first files of each target, and its parser."""

    def gguf() -> tuple[list[bytes], Callable[[Path], object]]:
        write_llama_gguf(folder / "whole.gguf")
        return [(folder / "whole.gguf").read_bytes()], lambda path: open_checkpoint(path).check()

    return {
        "recipe": lambda: ([RECIPE], recipe),
        "study": lambda: ([STUDY], read_study_file),
        "policy": lambda: ([POLICY], read_policy),
        "questions.jsonl": lambda: ([QUESTIONS[".jsonl"]], lambda path: load_task(f"file:{path}")),
        "questions.csv": lambda: ([QUESTIONS[".csv"]], lambda path: load_task(f"file:{path}")),
        "table.jsonl": lambda: ([TABLES[".jsonl"]], lambda path: import_table(path, COLUMNS)),
        "table.csv": lambda: ([TABLES[".csv"]], lambda path: import_table(path, COLUMNS)),
        "model.gguf": gguf,
        "model.safetensors": lambda: model_part(folder, "model.safetensors"),
        "config.json": lambda: model_part(folder, "config.json"),
    }


def main() -> None:
    """Fuzz the named target."""
    name, *options = sys.argv[1:] or [""]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        known = targets(folder)
        if name not in known:
            sys.exit(f"name one of: {', '.join(known)}")
        seeds, parse = known[name]()
        (corpus := folder / "corpus").mkdir()
        for number, seed in enumerate(seeds):
            (corpus / str(number)).write_bytes(seed)
        path = folder / f"changed{Path(name).suffix or '.yaml'}"

        def once(content: bytes) -> None:
            path.write_bytes(content)
            with suppress(UserError):
                parse(path)

        atheris.Setup([sys.argv[0], str(corpus), *options], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
