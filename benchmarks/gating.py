"""How often `forgetmeter gate` says PASS and FAIL, in simulations where the true loss is known.

    python benchmarks/gating.py [--runs 4000]

Tables at a true loss equal to the margin, where PASS and FAIL are both wrong: of one condition, of several at once, of
each relation, of quantiles of the divergence, and of losses that only few relations have. The last is without any loss,
with as many items as `gate --plan` asks for.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from coverage import Setting, simulated
from scipy.stats import norm

from forgetmeter.results.gate.answered import VariantAnswers, estimate
from forgetmeter.results.gate.check import POWER, GateCheck, GateVerdict, Measured, judge, worst
from forgetmeter.results.gate.resolution import CORRELATION, paired_changes
from forgetmeter.runs.content.answers import Answers
from forgetmeter.specs.condition import Condition, Quantity
from forgetmeter.statistics.item_intervals import mean_interval, quantile_interval
from forgetmeter.statistics.paired import CONFIDENCE, Estimate
from forgetmeter.statistics.resolution import Expected, seen_correlation
from forgetmeter.statistics.strict import strict_mean

AT_THE_MARGIN = (
    Setting(300, 0, 0.6, 0.1, 0, 0.05),
    Setting(1000, 0, 0.6, 0.1, 0, 0.05),
    Setting(1000, 0, 0.9, 0.02, 0, 0.05),
    Setting(4000, 0, 0.6, 0.1, 0, 0.1),
    # Hardly anything changes, and nothing is gained.
    Setting(276, 0, 0.5, 0.02, 0),
    Setting(590, 0, 0.5, 0.02, 0),
    Setting(60, 0, 0.85, 0.02, 0),
    Setting(1500, 0, 0.8, 0.005, 0, 0.002),
    Setting(200, 5, 0.7, 0.2, 0.1),
    Setting(200, 5, 0.7, 0.1, 0.1),
    Setting(1000, 5, 0.5, 0.2, 0.1, 0.05, 0.2),
    Setting(400, 8, 0.5, 0.2, 0.1),
    Setting(800, 8, 0.4, 0.045, 0.03, 0.01, 0.15, equal=False),
    Setting(500, 10, 1.0, 0.1, 0.08),
    Setting(2683, 20, 1.0, 0.01, 0.005),
    Setting(2683, 20, 0.8, 0.1, 0.08, 0.01, 0.15, equal=False),
    Setting(2000, 41, 0.5, 0.2, 0.15, 0.05, equal=False),
)
RARE = (
    Setting(2683, 20, 1.0, 0.02, 0.05),
    Setting(2683, 20, 1.0, 0.02, 0.1),
    Setting(4000, 41, 0.6, 0.02, 0.05),
    Setting(500, 5, 0.7, 0.06, 0.09, 0.005),
    Setting(1000, 8, 0.7, 0.05, 0.075, 0.005),
    Setting(2683, 20, 0.7, 0.03, 0.045, 0.005),
    Setting(2000, 10, 0.05, 0.2, 0.1, 0, 0.09),
    Setting(2000, 20, 0.2, 0.2, 0.1, 0, 0.2),
    Setting(1000, 5, 0.5, 0.2, 0.1, 0, 0.3),
    Setting(1000, 5, 0.5, 0.2, 0.15, 0, 0.25),
    Setting(1000, 5, 0.5, 0.2, 0.2, 0, 0.3),
)
"""Losses that most relations do not have, and some have largely; losses whose standard deviation over relations is 1.5
times their mean; knowledge that most relations lack; a lost share of all items whose standard deviation is 0.8, 1.0 and
1.3 times its mean."""
TOGETHER = (2, 5, 20)
"""Numbers of conditions, each on a task of its own."""
BY_RELATION = (
    Setting(800, 20, 0.5, 0.02, 0),
    Setting(800, 20, 0.95, 0.1, 0),
    Setting(2683, 20, 1.0, 0.005, 0),
    Setting(2683, 20, 0.6, 0.1, 0, 0.05),
)
"""Every relation loses the same."""
QUANTILES = ((0.5, 20, 40), (0.9, 20, 40), (0.99, 20, 40), (0.99, 100, 100), (0.999, 20, 40), (0.999, 100, 100))
"""Quantiles of the divergence of tokens, with numbers of texts and of tokens of each."""
MEANS = ((0.15, 5), (0.15, 50), (0.5, 5), (0.5, 20), (0.5, 50), (1.0, 20), (1.0, 50))
"""Standard deviations of the logarithm of the texts' divergences, and numbers of texts."""
PLANNED = ((0.1, 0.05), (0.1, 0.02), (0.1, 0.01), (0.02, 0.01), (0.005, 0.01))
"""Flips and margins."""
OVER_RELATIONS = (
    (5, 0.05, 0.1),
    (8, 0.05, 0.08),
    (10, 0.05, 0.06),
    (20, 0.05, 0.05),
    (41, 0.05, 0.03),
    (66, 0.02, 0.02),
    # Relations differ less, and then more, than a plan assumes if an earlier run shows little.
    (7, 0.02, 0.08),
    (6, 0.08, 0.12),
)
"""Numbers of relations, spreads of the forgotten share, and margins."""
_EARLIER = 100
"""Earlier runs, each of which gives a plan of its own."""


def verdict(estimates: Sequence[Estimate], quantity: Quantity, limit: float, checks: int) -> GateVerdict:
    """Return the verdict on one condition, from estimates at both confidences of a gate."""
    check = GateCheck(Condition(quantity, limit), "m", "r", "t", ("t",))
    return judge(check, limit, Measured(estimates[0], estimates[1], 1 - (1 - CONFIDENCE) / checks, 1)).verdict


def estimates(of: VariantAnswers, quantity: Quantity, checks: int) -> list[Estimate]:
    """Return what a gate of this many checks observes."""
    return [estimate(of, quantity, 1 - (1 - CONFIDENCE) / each) for each in (1, checks)]


def drawn(setting: Setting, random: np.random.Generator) -> VariantAnswers:
    """Draw the answers of a variant."""
    answers = simulated(setting, random)
    return VariantAnswers(answers, 1, np.ones(setting.items, dtype=np.bool_))


def losses(setting: Setting) -> dict[Quantity, float]:
    """Return the true drop and retained share."""
    return {
        "drop": setting.knows * setting.forgets - (1 - setting.knows) * setting.gains,
        "retained": 1 - setting.forgets,
    }


def at_the_margin(settings: Sequence[Setting], runs: int) -> None:
    """Print how often each verdict is said where the true loss is the margin."""
    print("\n| items | relations | true drop | PASS | FAIL | true retained | PASS | FAIL |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for setting in settings:
        random, truth = np.random.default_rng(0), losses(setting)
        said: dict[str, Counter[str]] = {"drop": Counter(), "retained": Counter()}
        for _ in range(runs):
            of = drawn(setting, random)
            for quantity, limit in truth.items():
                said[quantity][verdict(estimates(of, quantity, 1), quantity, limit, 1)] += 1
        drop, retained = ([f"{said[name][each] / runs:.1%}" for each in ("PASS", "FAIL")] for name in said)
        print(
            f"| {setting.items} | {setting.relations or '—'} | {truth['drop']:.1%} | {' | '.join(drop)} "
            f"| {truth['retained']:.1%} | {' | '.join(retained)} |",
            flush=True,
        )


def together(runs: int) -> None:
    """Print the same for several conditions at once, all of them at the margin."""
    print("\n| conditions | items of each | relations | PASS | FAIL |\n|---:|---:|---:|---:|---:|")
    for number in TOGETHER:
        for setting in (AT_THE_MARGIN[1], AT_THE_MARGIN[13]):
            random, limit = np.random.default_rng(0), losses(setting)["drop"]
            said = Counter(
                worst(
                    verdict(estimates(drawn(setting, random), "drop", number), "drop", limit, number)
                    for _ in range(number)
                )
                for _ in range(runs // number)
            )
            shares = [f"{said[each] / said.total():.1%}" for each in ("PASS", "FAIL")]
            print(f"| {number} | {setting.items} | {setting.relations or '—'} | {' | '.join(shares)} |", flush=True)


def by_relation(runs: int) -> None:
    """Print how often a gate fails by relation, where each relation's true loss is the margin."""
    columns_of_each = "PASS of one | FAIL of any"
    print(f"\n| relations | known of each | true drop | {columns_of_each} | true retained | {columns_of_each} |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for setting in BY_RELATION:
        random, number = np.random.default_rng(0), setting.relations
        columns = {quantity: Counter[str]() for quantity in losses(setting)}
        for _ in range(runs // 5):
            answers = simulated(setting, random)
            parts = [VariantAnswers(answers, 1, answers.relation == place) for place in range(number)]
            for quantity, limit in losses(setting).items():
                mine = [of for of in parts if of.asked(quantity).any()]
                said = [verdict(estimates(of, quantity, number), quantity, limit, number) for of in mine]
                columns[quantity].update(said)
                columns[quantity]["any"] += "FAIL" in said
        cells = []
        for quantity, limit in losses(setting).items():
            found, total = columns[quantity], runs // 5
            cells += [f"{limit:.1%}", f"{found['PASS'] / total / number:.1%}", f"{found['any'] / total:.1%}"]
        known = setting.items // number * setting.knows
        print(f"| {number} | {known:.0f} | {' | '.join(cells)} |", flush=True)


def quantiles(runs: int) -> None:
    """Print how often a quantile of the divergence passes and fails, where the true one is the limit."""
    print("\n| quantile | texts | tokens of each | PASS | FAIL |\n|---:|---:|---:|---:|---:|")
    for quantile, texts, tokens in QUANTILES:
        random, owners = np.random.default_rng(0), np.repeat(np.arange(texts), tokens)
        # Texts differ in level: the sum of two normal values, one for each text.
        limit = float(np.exp(norm.ppf(quantile) * math.hypot(1, 0.3)))
        found = []
        for _ in range(runs // 4):
            values = np.exp(random.normal(0, 0.3, texts)[owners] + random.normal(0, 1, len(owners)))
            found.append(quantile_interval(values, owners, quantile))
        print(f"| {quantile:.1%} | {texts} | {tokens} | {wrong(found, limit)} |", flush=True)


def means(runs: int) -> None:
    """Print the same for the mean divergence, over texts whose divergences are skewed."""
    print("\n| spread of texts | texts | PASS | FAIL |\n|---:|---:|---:|---:|")
    for spread, texts in MEANS:
        random, limit = np.random.default_rng(0), math.exp(spread**2 / 2)
        usual = [mean_interval(np.exp(random.normal(0, spread, texts)), np.ones(texts)) for _ in range(runs)]
        print(
            f"| {spread:.0%} | {texts} | {wrong([each and strict_mean(each) for each in usual], limit)} |", flush=True
        )


def wrong(found: Sequence[Estimate | None], limit: float) -> str:
    """Return how often intervals lie within a limit, and how often beyond it, as two columns."""
    known = [each for each in found if each is not None]
    within, beyond = (sum(each.high <= limit for each in known), sum(each.low > limit for each in known))
    return f"{within / len(found):.1%} | {beyond / len(found):.1%}"


def planned(runs: int) -> None:
    """Print how often a variant that loses nothing passes with the planned number of items."""
    print("\n| flips | relations | margin | plans | their items | PASS | FAIL |\n|---:|---:|---:|---:|---:|---:|---:|")
    for flips, margin in PLANNED:
        items = Expected(flips).needed(margin, POWER)
        assert items is not None
        base = Setting(items, 0, 0.6, flips / 2 / 0.6, 0, flips / 2 / 0.4)
        _print_planned([base], margin, runs)
    for relations, spread, margin in OVER_RELATIONS:
        seen = Setting(40 * relations, relations, 0.6, 0.05 / 0.6, spread, 0.05 / 0.4)
        random = np.random.default_rng(1)
        needed = [_after(simulated(seen, random), relations).needed(margin, POWER) for _ in range(_EARLIER)]
        each = [math.ceil(items / relations) for items in needed if items is not None]
        _print_planned([replace(seen, items=relations * number) for number in each], margin, runs)


def _after(earlier: Answers, relations: int) -> Expected:
    """Return what ``gate --plan`` expects after an earlier run of one variant."""
    seen = seen_correlation(paired_changes(earlier), earlier.relation)
    assert seen is not None
    return Expected(0.1, seen.shrunk(CORRELATION), (1,) * relations, seen.doubt(CORRELATION))


def _print_planned(settings: Sequence[Setting], margin: float, runs: int) -> None:
    random = np.random.default_rng(0)
    drawn_from = (setting for setting in settings for _ in range(math.ceil(runs / len(settings))))
    said = Counter(verdict(estimates(drawn(each, random), "drop", 1), "drop", margin, 1) for each in drawn_from)
    shares = [f"{said[each] / said.total():.1%}" for each in ("PASS", "FAIL")]
    setting, items = settings[0], sorted(each.items for each in settings)
    flips = setting.knows * setting.forgets + (1 - setting.knows) * setting.gains
    plans = f"{len(items) / _EARLIER:.0%}" if setting.relations else "—"
    about = f"{flips:.1%} | {setting.relations or '—'} | {100 * margin:g} pt | {plans} | {items[len(items) // 2]:,}"
    print(f"| {about} | {' | '.join(shares)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="simulated runs per row")
    runs = parser.parse_args().runs
    at_the_margin(AT_THE_MARGIN, runs)
    together(runs)
    by_relation(runs)
    quantiles(runs)
    means(runs)
    at_the_margin(RARE, runs)
    planned(runs)


if __name__ == "__main__":
    main()
