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

from claim_pages import bits, findings, order, structure
from evidence import SOURCES, outcomes, subjects
from fact_pages import agreement, cheap_numbers, which_facts
from text import Page, joined, table

import forgetmeter

_MADE_BY = "<!-- Made by `python tools/answers`; do not edit. -->"


def write(runs: Path, out: Path) -> None:
    """Write all pages, and the outcomes that they are computed from."""
    grids = subjects(runs, [source for source in SOURCES if source.is_grid])
    measured = subjects(runs, [source for source in SOURCES if not source.is_grid])
    pages = [page(grids) for page in (findings, structure, order, bits, which_facts, agreement)]
    pages.append(cheap_numbers(measured))
    (out / "data").mkdir(parents=True, exist_ok=True)
    for page in pages:
        (out / page.file).write_text(f"# {page.question}\n\n{_MADE_BY}\n\n{_origin()}\n\n{page.text}\n")
    (out / "README.md").write_text(_overview(pages))
    for source in SOURCES:
        frame = outcomes(forgetmeter.open_run(runs / f"answers-{source.name}"))
        frame.to_parquet(out / "data" / f"{source.name}.parquet", compression="zstd", index=False)


def _origin() -> str:
    commands = "; ".join(f"`forgetmeter run studies/answers/{source.name}.yaml`" for source in SOURCES)
    files = ", ".join(f"[{source.name}.parquet](data/{source.name}.parquet)" for source in SOURCES)
    return f"Made by `make results`: {commands}. Every answer is in {files}."


def _overview(pages: Sequence[Page]) -> str:
    rows = [[f"[{page.question}]({page.file})", page.verdict, " ".join(page.answer.split())] for page in pages]
    return (
        joined(
            "# Results", _MADE_BY, "## The paper's questions", _origin(), table(["question", "verdict", "answer"], rows)
        )
        + "\n"
    )


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results")
    given = parser.parse_args()
    write(given.runs, given.out)


if __name__ == "__main__":
    main()
