"""Differences between what pairs of recipes retain, as Markdown, with intervals and corrected p-values.

`forgetmeter show` compares each recipe with the original; the pages in docs/results/ also compare recipes with one
another.

    python benchmarks/recipe_differences.py RUN 'RECIPE - OTHER' 'RECIPE - OTHER' …

The values are percentage points of the known items: what the first recipe retains minus what the second does, with a
95% interval over relations where the task has them. p-values are corrected by Holm over all pairs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tools" / "answers"))

from claims import difference
from evidence import Source, subjects

from forgetmeter.report.words.numbers import points_interval
from forgetmeter.results.findings.effect import p_value
from forgetmeter.results.results import open_run
from forgetmeter.statistics.correction import holm_corrected
from forgetmeter.statistics.resampling import expanded_interval


def main() -> None:
    """Print a row per pair, for each model and task with known items."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of the run")
    parser.add_argument("pairs", nargs="+", metavar="'RECIPE - OTHER'")
    options = parser.parse_args()
    results = open_run(options.run)
    models = list(dict.fromkeys(answers.model for answers in results.run.answers))
    pairs = [tuple(pair.split(" - ")) for pair in options.pairs]
    for subject in subjects(Source("", "", models), results):
        effects = [difference([pair])(subject) for pair in pairs]
        corrected = holm_corrected([None if effect is None else p_value(effect, 0.0) for effect in effects])
        print(
            f"{subject.label}, {subject.evidence.task}\n\n| first | second | points | p (Holm) |\n|:---|:---|---:|---:|"
        )
        for pair, effect, p_holm in zip(pairs, effects, corrected, strict=True):
            if effect is not None:
                estimate = expanded_interval(effect.value, effect.draws, clusters=effect.clusters)
                print(f"| `{pair[0]}` | `{pair[1]}` | {points_interval(estimate)} | {p_holm:.3f} |")
        print()


if __name__ == "__main__":
    main()
