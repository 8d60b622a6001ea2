"""How often the 95% intervals of drop and retained cover the truth, in simulations where the truth is known.

    python benchmarks/coverage.py [--runs 1000]

A baseline knows each item with one probability; of what it knows, a variant forgets in each relation a share of its
own, drawn from a beta distribution. The truth is the mean of that distribution: what other relations would show.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from forgetmeter.analysis.answers import Answers
from forgetmeter.analysis.comparison import compare_all


@dataclass(frozen=True)
class Setting:
    """One simulation.

    Attributes:
        items: How many items.
        relations: How many relations they are in, of equal size; 0 for none.
        knows: Probability with which the baseline is right.
        forgets: Mean share of what is known that is forgotten.
        spread: Standard deviation of that share between relations.
    """

    items: int
    relations: int
    knows: float
    forgets: float
    spread: float


SETTINGS = (
    Setting(500, 0, 0.6, 0.1, 0),
    Setting(60, 0, 0.6, 0.1, 0),
    Setting(2000, 41, 0.5, 0.2, 0.1),
    Setting(800, 20, 0.5, 0.2, 0.1),
    Setting(400, 8, 0.5, 0.2, 0.1),
    Setting(400, 8, 0.9, 0.05, 0.05),
    Setting(200, 5, 0.7, 0.2, 0.1),
    Setting(200, 5, 0.7, 0.1, 0.1),
    Setting(60, 5, 1.0, 0.1, 0.12),
)


def simulated(setting: Setting, random: np.random.Generator) -> Answers:
    """Draw one run: a baseline and one variant."""
    relation = np.arange(setting.items) * setting.relations // setting.items if setting.relations else None
    if relation is None:
        shares = np.full(setting.items, setting.forgets)
    else:
        mean = setting.forgets
        both = mean * (1 - mean) / setting.spread**2 - 1
        shares = random.beta(mean * both, (1 - mean) * both, setting.relations)[relation]
    known = random.random(setting.items) < setting.knows
    correct = np.stack([known, known & (random.random(setting.items) >= shares)])
    unknown = np.full(correct.shape, np.nan, np.float32)
    return Answers(
        model="m",
        task="t",
        recipes=("baseline", "r"),
        items=np.array([str(place) for place in range(setting.items)], dtype=object),
        relation=np.full(setting.items, -1) if relation is None else relation,
        relations=tuple(map(str, range(setting.relations))),
        popularity=np.full(setting.items, np.nan),
        chance=np.full(setting.items, 0.25),
        majority=np.zeros(setting.items),
        answered=np.ones(correct.shape, dtype=bool),
        correct=correct,
        changed=np.zeros(correct.shape, dtype=bool),
        rank=unknown,
        margin=unknown,
        divergence=unknown,
    )


def main() -> None:
    """Print one line a setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="simulated runs of each setting")
    runs = parser.parse_args().runs
    print("items  relations  known  forgotten (between relations)   drop   retained")
    for setting in SETTINGS:
        random, drops, kept = np.random.default_rng(0), 0, 0
        for _ in range(runs):
            found = compare_all(simulated(setting, random))[1].paired
            drops += found.drop.low <= setting.knows * setting.forgets <= found.drop.high
            retained = found.retained
            kept += retained is not None and retained.low <= 1 - setting.forgets <= retained.high
        print(
            f"{setting.items:5}  {setting.relations:9}  {setting.knows:5.0%}  {setting.forgets:9.0%} "
            f"(± {setting.spread:4.0%})            {drops / runs:6.1%}  {kept / runs:6.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
