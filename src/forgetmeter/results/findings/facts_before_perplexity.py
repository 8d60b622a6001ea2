"""From related work: facts fail before perplexity does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized

import numpy as np
from numpy.typing import NDArray

from forgetmeter.basics.plural import counted
from forgetmeter.results.findings.effect import ClaimTest, Effect
from forgetmeter.results.findings.evidence import Evidence
from forgetmeter.results.findings.finding import Claim
from forgetmeter.results.treatments import Treatment, curves
from forgetmeter.specs.recipe import BASELINE

TENTH = 0.1

CLAIM = Claim(
    name="facts_before_perplexity",
    sentence="Facts fail before perplexity does.",
    source="arXiv 2310.01382",
    question="Is a tenth of the facts forgotten at a lower pruning level than the one that raises perplexity by 10%?",
    test="Level at which perplexity is 1.1 times the baseline's, minus level at which 0.9 of the facts are retained, "
    "both interpolated linearly between measured levels; the last level if never reached. The mean over curves, "
    "without those on which perplexity falls by a tenth before it rises by one: there it does not measure damage; and "
    "without those on which neither reaches its level. "
    "Perplexity itself has no interval here.",
    unit="level",
)


def _effect(evidence: Evidence) -> Effect | str:
    perplexity = evidence.perplexity
    if not perplexity:
        return "needs a task with perplexity in the same run"
    if not evidence.answers.relations:
        return "the task's items are not facts"
    wanted = [each for each in evidence.pruned if each.recipe in perplexity]
    every = list(curves(wanted).values())
    if not every:
        return "needs pruning at several levels, with facts and perplexity"
    rising = [group for group in every if not _falls_first(_rises(group, perplexity))]
    if not rising:
        falls = f"the perplexity of {evidence.text} falls by a tenth under pruning before it rises"
        return f"{falls}, so it does not measure damage"
    groups = [group for group in rising if _is_damaged(evidence, group)]
    if not groups:
        return f"neither facts nor the perplexity of {evidence.text} change by a tenth at any level"
    values, draws, unreached = [], [], 0
    for group in groups:
        levels = np.asarray([0.0, *(float(each.level or 0) for each in group)])
        rises = _rises(group, perplexity)
        up = float(_first_crossing(levels, rises[None, :])[0])
        unreached += bool(rises.max() < TENTH)
        places = [evidence.draws.recipes.index(each.recipe) for each in group]
        values.append(up - _fallen_level(levels, evidence.draws.retained[None, places])[0])
        draws.append(up - _fallen_level(levels, evidence.draws.draws[:, places]))
    recipes = tuple(each.recipe for group in groups for each in group)
    detail = "; ".join([f"compared with {evidence.text}", *_remarks(unreached, groups, rising, every)])
    return Effect(float(np.mean(values)), np.mean(draws, axis=0), evidence.draws.clusters, recipes, detail)


def _remarks(unreached: int, used: Sized, rising: Sized, every: Sized) -> Iterator[str]:
    if unreached:
        curve = "the only curve" if len(used) == 1 else f"{unreached} of {counted(len(used), 'curve')}"
        yield f"on {curve} used, perplexity never rises by a tenth, so the effect may be larger"
    if len(rising) < len(every):
        yield f"{counted(len(every) - len(rising), 'curve')} left out, on which it falls by a tenth first"
    if len(used) < len(rising):
        yield f"{counted(len(rising) - len(used), 'curve')} left out, on which neither changes by a tenth"


def _is_damaged(evidence: Evidence, group: Sequence[Treatment]) -> bool:
    """Return whether facts or perplexity reach a tenth; if neither does, nothing says which would be first."""
    places = [evidence.draws.recipes.index(each.recipe) for each in group]
    lost = 1 - np.nan_to_num(evidence.draws.retained[places])
    return bool(lost.max() >= TENTH or _rises(group, evidence.perplexity).max() >= TENTH)


def _rises(group: Sequence[Treatment], perplexity: Mapping[str, float]) -> NDArray[np.float64]:
    """Return by how much perplexity rises from the baseline's at each level, relative to it; 0 at level 0."""
    return np.asarray([0.0, *(perplexity[each.recipe] / perplexity[BASELINE] - 1.0 for each in group)])


def _falls_first(rises: NDArray[np.float64]) -> bool:
    """Return whether perplexity falls by a tenth, as a factor, at a level before any at which it rises by one."""
    reached = rises >= TENTH
    before = rises[: int(reached.argmax())] if reached.any() else rises
    return bool(before.min() <= 1 / (1 + TENTH) - 1)


def _fallen_level(levels: NDArray[np.float64], retained: NDArray[np.float64]) -> NDArray[np.float64]:
    lost = 1 - np.nan_to_num(retained)
    return _first_crossing(levels, np.concatenate([np.zeros((len(lost), 1)), lost], axis=1))


def _first_crossing(levels: NDArray[np.float64], rises: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the linearly interpolated level at which each row first reaches a tenth; the last level if it does not.

    Args:
        levels: Ascending levels, starting at 0, shape ``(levels,)``.
        rises: Shape ``(rows, levels)``; 0 in the first column.
    """
    reached = rises >= TENTH
    after = np.where(reached.any(axis=1), reached.argmax(axis=1), len(levels) - 1)
    rows = np.arange(len(rises))
    low, high = rises[rows, after - 1], rises[rows, after]
    share = np.where(high > low, (TENTH - low) / np.where(high > low, high - low, 1.0), 1.0)
    crossing = levels[after - 1] + np.clip(share, 0, 1) * (levels[after] - levels[after - 1])
    result: NDArray[np.float64] = np.where(reached.any(axis=1), crossing, levels[-1])
    return result


TEST = ClaimTest(CLAIM, _effect)
