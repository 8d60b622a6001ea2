"""Coverage of the 95% intervals of drop and retained, in simulations where the truth is known.

    python benchmarks/coverage.py [--runs 4000]             # forgetmeter's own, as in `show`
    python benchmarks/coverage.py --compare [--runs 2000]   # and other intervals over relations

In each relation, a baseline knows a share of the items. A variant forgets a share of these and gains a share of the
others. All shares are drawn from beta distributions, or are the same for all relations if they do not vary. The truth
is their mean: what other relations would show.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm, t

from forgetmeter.results.compared.comparison import compare_all
from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.content.baselines import ItemBaselines
from forgetmeter.statistics.resampling import cluster_weights, expanded_interval

Counts = NDArray[np.float64]
Interval = Callable[[Counts, Counts], tuple[float, float]]


@dataclass(frozen=True)
class Setting:
    """One simulation.

    Attributes:
        items: Number of items.
        relations: Number of relations; 0 for none.
        knows: Mean share of the items that the baseline gets right.
        forgets: Mean share of what is known that is forgotten.
        spread: Standard deviation of that share over relations.
        gains: Mean share of unknown items that is gained; its standard deviation is the same, but at most its mean.
        varies: Standard deviation of the known share over relations.
        together: 1 if relations that forget more also gain more, -1 if they gain less, 0 if neither.
        equal: Whether all relations have the same size; else sizes are drawn from a Dirichlet distribution.
    """

    items: int
    relations: int
    knows: float
    forgets: float
    spread: float
    gains: float = 0.0
    varies: float = 0.0
    together: int = 0
    equal: bool = True


SETTINGS = (
    Setting(500, 0, 0.6, 0.1, 0),
    Setting(500, 0, 0.6, 0.1, 0, 0.05),
    Setting(60, 0, 0.6, 0.1, 0, 0.05),
    Setting(32000, 41, 0.25, 0.1, 0.08, 0.02, equal=False),
    Setting(2000, 41, 0.5, 0.2, 0.1),
    Setting(2000, 41, 0.5, 0.2, 0.15, 0.05, equal=False),
    Setting(2000, 41, 0.3, 0.3, 0.15, 0.1, together=-1, equal=False),
    Setting(2000, 41, 0.3, 0.3, 0.15, 0.1, together=1, equal=False),
    Setting(1640, 41, 0.5, 0.3, 0, 0.1, equal=False),
    Setting(2683, 20, 1.0, 0.02, 0.02, equal=False),
    Setting(2683, 20, 1.0, 0.5, 0.2, equal=False),
    Setting(2000, 20, 0.3, 0.05, 0.08, 0.02, equal=False),
    Setting(800, 20, 0.5, 0.2, 0.1),
    Setting(800, 20, 0.5, 0.3, 0.15, 0.2, together=-1, equal=False),
    Setting(500, 10, 1.0, 0.1, 0.08),
    Setting(480, 8, 0.3, 0.3, 0.2, 0.03, equal=False),
    Setting(400, 8, 0.5, 0.2, 0.1),
    Setting(400, 8, 0.5, 0.3, 0.15, 0.2, together=-1),
    Setting(400, 8, 0.9, 0.05, 0.05),
    Setting(2000, 8, 0.7, 0.5, 0.25, 0.05, equal=False),
    Setting(200, 5, 0.7, 0.2, 0.1),
    Setting(200, 5, 0.7, 0.1, 0.1),
    Setting(200, 5, 0.7, 0.5, 0.2, 0.05, equal=False),
    Setting(60, 5, 1.0, 0.1, 0.12),
    Setting(32000, 41, 0.2, 0.1, 0.08, 0.02, 0.15, equal=False),
    Setting(2683, 20, 0.13, 0.2, 0.1, 0.02, 0.1, equal=False),
    Setting(2683, 20, 0.8, 0.1, 0.08, 0.01, 0.15, equal=False),
    Setting(800, 8, 0.4, 0.045, 0.03, 0.01, 0.15, equal=False),
    Setting(800, 8, 0.13, 0.2, 0.1, 0.02, 0.1),
    Setting(480, 8, 0.3, 0.3, 0.2, 0.03, 0.2),
    Setting(1000, 5, 0.13, 0.2, 0.1, 0.02, 0.1),
    Setting(1000, 5, 0.5, 0.2, 0.1, 0.05, 0.2),
    # Little is known, very unevenly, and a few relations forget most of it.
    Setting(4000, 20, 0.08, 0.15, 0.18, 0.01, 0.11),
    Setting(1600, 8, 0.08, 0.15, 0.18, 0.01, 0.11),
)


def simulated(setting: Setting, random: np.random.Generator) -> Answers:
    """Draw one run: a baseline and one variant."""
    relation, knows, forgets, gains = _relations(setting, random)
    known = random.random(setting.items) < knows
    kept = random.random(setting.items) >= forgets
    won = random.random(setting.items) < gains
    correct = np.stack([known, np.where(known, kept, won)])
    unknown = np.full(correct.shape, np.nan, np.float32)
    return Answers(
        model="m",
        task="t",
        recipes=("baseline", "r"),
        items=np.array([str(place) for place in range(setting.items)], dtype=object),
        relation=relation,
        relations=tuple(map(str, range(setting.relations))),
        popularity=np.full(setting.items, np.nan),
        baselines=ItemBaselines(np.full(setting.items, 0.25), (None,) * setting.items),
        answered=np.ones(correct.shape, dtype=bool),
        correct=correct,
        changed=np.zeros(correct.shape, dtype=bool),
        rank=unknown,
        margin=unknown,
        divergence=unknown,
    )


def _relations(setting: Setting, random: np.random.Generator) -> tuple[NDArray[np.int64], Counts, Counts, Counts]:
    """Draw each item's relation, and the probabilities with which it is known, forgotten and gained."""
    items, number = setting.items, setting.relations
    if not number:
        shares = (setting.knows, setting.forgets, setting.gains)
        return np.full(items, -1), *(np.full(items, share) for share in shares)  # type: ignore[return-value]
    sizes = np.full(number, items // number)
    if not setting.equal:
        sizes = 5 + random.multinomial(items - 5 * number, random.dirichlet(np.full(number, 2.0)))
    sizes[-1] += items - sizes.sum()
    relation = np.repeat(np.arange(number), sizes)
    place = random.random(number)
    other = {1: place, -1: 1 - place, 0: random.random(number)}[setting.together]
    gains = _shares(setting.gains, min(setting.spread, setting.gains), other)
    knows = _shares(setting.knows, setting.varies, random.random(number))
    return relation, knows[relation], _shares(setting.forgets, setting.spread, place)[relation], gains[relation]


def _shares(mean: float, spread: float, places: Counts) -> Counts:
    if not spread:
        return np.full(len(places), mean)
    both = mean * (1 - mean) / spread**2 - 1
    return np.asarray(beta.ppf(places, mean * both, (1 - mean) * both))


def percentiles(counts: Counts, members: Counts) -> tuple[float, float]:
    """Hesterberg's expanded percentiles over resampled clusters (The American Statistician 69(4), 2015)."""
    weights = cluster_weights(len(members))
    found = expanded_interval(_ratio(counts, members), (weights @ counts) / (weights @ members), clusters=len(members))
    return found.low, found.high


def bias_corrected(counts: Counts, members: Counts) -> tuple[float, float]:
    """Efron's bias-corrected and accelerated percentiles (J. Am. Stat. Assoc. 82, 1987), expanded in the same way."""
    number, weights, value = len(members), cluster_weights(len(members)), _ratio(counts, members)
    draws = (weights @ counts) / (weights @ members)
    left_out = (counts.sum() - counts) / (members.sum() - members)
    pull = left_out.mean() - left_out
    size = (pull**2).sum() ** 1.5
    acceleration = (pull**3).sum() / (6 * size) if size else 0.0
    below = (np.mean(draws < value) + np.mean(draws <= value)) / 2
    bias = norm.ppf(np.clip(below, 0.001, 0.999))
    ends = bias + np.sqrt(number / (number - 1)) * t.ppf([0.025, 0.975], number - 1)
    low, high = np.quantile(draws, norm.cdf(bias + ends / (1 - acceleration * ends)))
    return low, high


def studentized(counts: Counts, members: Counts) -> tuple[float, float]:
    """The bootstrap of the t statistic over clusters."""
    weights, (value, error) = cluster_weights(len(members)), _t_statistic(counts, members)
    values = (weights @ counts) / (weights @ members)
    squares = weights @ counts**2 - 2 * values * (weights @ (counts * members)) + values**2 * (weights @ members**2)
    errors = np.sqrt(np.maximum(squares, 0) * len(members) / (len(members) - 1)) / (weights @ members)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = (values - value) / errors
    low, high = np.quantile(draws[np.isfinite(draws)], [0.025, 0.975]) if error else (0, 0)
    return value - high * error, value - low * error


def t_interval(counts: Counts, members: Counts) -> tuple[float, float]:
    """The linearized ratio, with a t distribution of (clusters - 1) degrees of freedom."""
    value, error = _t_statistic(counts, members)
    half = error * t.ppf(0.975, len(members) - 1)
    return value - half, value + half


OTHERS: dict[str, Interval] = {
    "percentile": percentiles,
    "BCa": bias_corrected,
    "studentized": studentized,
    "t": t_interval,
}


def _ratio(counts: Counts, members: Counts) -> float:
    return float(counts.sum() / members.sum())


def _t_statistic(counts: Counts, members: Counts) -> tuple[float, float]:
    value, number = _ratio(counts, members), len(members)
    squares = ((counts - value * members) ** 2).sum()
    return value, float(np.sqrt(squares * number / (number - 1)) / members.sum())


def coverage(setting: Setting, *, runs: int, compare: bool = False) -> Counts:
    """Return the coverage of each method.

    Returns:
        Shares of shape ``(ways, 2)``, of the drop and of retained: ours first, then, if compared, those of ``OTHERS``.
    """
    random = np.random.default_rng(0)
    covered = [_covered(setting, simulated(setting, random), compare=compare) for _ in range(runs)]
    shares: Counts = np.mean([each for each in covered if each], axis=0).reshape(-1, 2)
    return shares


def _covered(setting: Setting, answers: Answers, *, compare: bool) -> list[bool]:
    """Return whether the truth of drop and retained is covered: by our intervals, then by each other method."""
    drop, retained = setting.knows * setting.forgets - (1 - setting.knows) * setting.gains, 1 - setting.forgets
    found = compare_all(answers)[1]
    if found is None or found.drop is None or found.retained is None:
        return []
    covered = [found.drop.low <= drop <= found.drop.high, found.retained.low <= retained <= found.retained.high]
    if not compare:
        return covered

    def count(marks: NDArray[np.bool_]) -> Counts:
        return np.bincount(answers.relation[marks], minlength=setting.relations).astype(np.float64)

    before, after = answers.correct
    items, known = count(np.ones_like(before)), count(before)
    asked = known > 0
    for interval in OTHERS.values():
        low, high = interval(known - count(before & after) - count(~before & after), items)
        covered.append(low <= drop <= high)
        low, high = interval(count(before & after)[asked], known[asked])
        covered.append(low <= retained <= high)
    return covered


def main() -> None:
    """Print one line per setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="simulated runs per setting")
    parser.add_argument("--compare", action="store_true", help="also other methods, for settings with relations")
    asked = parser.parse_args()
    names = ["forgetmeter", *OTHERS] if asked.compare else ["forgetmeter"]
    print("items  relations  known        forgotten  gained      " + "".join(f"{name:>15}" for name in names))
    print(" " * 54 + "drop/retained %".rjust(15) * len(names))
    for setting in SETTINGS:
        if asked.compare and not setting.relations:
            continue
        shares = 100 * coverage(setting, runs=asked.runs, compare=asked.compare)
        sizes = " " if setting.equal else "~"
        sign = {1: "+", -1: "-", 0: " "}[setting.together]
        print(
            f"{setting.items:5}  {setting.relations:8}{sizes}  {setting.knows:5.0%} ±{setting.varies:3.0%}"
            f"  {setting.forgets:4.0%} ±{setting.spread:3.0%}  {setting.gains:4.0%} {sign}       "
            + "".join(f"{drop:6.1f}/{kept:4.1f}".rjust(15) for drop, kept in shares),
            flush=True,
        )
    print("~ relations of unequal size; +, - relations that forget more gain more, gain less")


if __name__ == "__main__":
    main()
