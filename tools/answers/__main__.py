"""Writes the answers to the paper's questions, docs/results/README.md and its pages, from the runs of studies/answers.

python tools/answers [--runs runs] [--out docs/results]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(Path(__file__).parent)]

import forgetmeter
from evidence import SOURCES, outcomes, subjects
from pages import PAGES
from text import Page, table

_MADE_BY = "<!-- Made by `python tools/answers`; do not edit. -->"


def write(runs: Path, out: Path) -> None:
    """Write all pages, and the outcomes that they are computed from."""
    models = subjects(runs)
    pages = [page(models) for page in PAGES]
    for page in pages:
        (out / page.file).write_text(f"{_MADE_BY}\n# {page.question}\n\n{_origin()}\n\n{page.text}\n")
    (out / "README.md").write_text(_overview(pages))
    (out / "data").mkdir(exist_ok=True)
    for source in SOURCES:
        frame = outcomes(forgetmeter.open_run(runs / f"answers-{source.name}"))
        frame.to_parquet(out / "data" / f"{source.name}.parquet", compression="zstd", index=False)


def _origin() -> str:
    commands = "; ".join(f"`forgetmeter run studies/answers/{source.name}.yaml`" for source in SOURCES)
    files = ", ".join(f"[{source.name}.parquet](data/{source.name}.parquet)" for source in SOURCES)
    return f"Made by `make results`: {commands}. Every answer is in {files}."


def _overview(pages: Sequence[Page]) -> str:
    rows = [[f"[{page.question}]({page.file})", page.verdict, page.answer] for page in pages]
    return f"{_MADE_BY}\n# Answers\n\n{_origin()}\n\n{table(['question', 'verdict', 'answer'], rows)}\n"


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results")
    given = parser.parse_args()
    write(given.runs, given.out)


if __name__ == "__main__":
    main()
