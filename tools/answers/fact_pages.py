"""Pages on single facts: which go first, where they went, whether methods and models agree, and what foretells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from evidence import Subject, over_relations
from numpy.typing import NDArray
from text import Page, named, number, paragraph, points, stacked, table

from forgetmeter.basics.plural import joined
from forgetmeter.results.foretelling import Foretold, foretold
from forgetmeter.results.ledger import FATES
from forgetmeter.statistics.paired import Estimate

_RECOVERY = "+lora_recover:overall"
_PREDICTORS = {
    "margin": "margin before compression",
    "frequency": "frequency of the answer in its relation",
    "popularity": "popularity of the subject",
}
_SAME_RECIPES = ("l1_unstructured:overall:0.5", "round_to_nearest:overall:3")
_ROOM = 10
_METHODS = {
    "single weights pruned": ("l1_unstructured:overall:",),
    "rounded": ("round_to_nearest:overall:", "gptq:overall:", "awq:overall:", "hqq:overall:"),
    "rank removed": ("svd:overall:",),
    "units removed": ("ln_structured:overall:",),
    "N:M": ("n_m:overall",),
    "layers dropped": ("drop_layers:overall:",),
}


def cheap_numbers(models: Sequence[Subject]) -> Page:
    """Whether divergence and perplexity foretell what is retained."""
    found = {each.label: _foretold(each) for each in models}
    names = dict.fromkeys(name for by_name in found.values() for name in by_name)
    rows = []
    for name in names:
        cells = [found[each.label].get(name) for each in models]
        rows.append([name, *(number(part) for cell in cells for part in _both(cell))])
    header = ["number", *(words for each in models for words in (each.label, "at equal size"))]
    variants = joined(
        [
            f"{max(one.variants for one in found[each.label].values())} of {named([each.label])}"
            for each in models
            if found[each.label]
        ]
    )
    text = stacked(
        paragraph(
            f"""Spearman's rank correlation of each number with what is retained of the facts, over all variants of the
            run: {variants}. 1 means that the number ranks the variants as the retained facts do: signs are chosen so
            that less divergence, or a lower perplexity, should mean more facts. *At equal size*: the partial
            correlation given the bytes ([how it is computed](../findings.md#do-cheap-numbers-foretell-forgetting)). KL
            is the Kullback-Leibler divergence of a variant's predictions from the original's, per token of the text of
            the task `divergence`: its mean and its 99.9% quantile. *Top-1 agreement* is the share of tokens
            for which both have the same most likely next token."""
        ),
        table(header, rows),
        paragraph(
            """The intervals treat variants as independent, which they are not. The standard decoder was trained only
            on statements of facts, so the text of `divergence` is unlike anything that it was trained on, and the
            decoder's perplexity on this text falls as weights are pruned. A good rank correlation over many variants
            does not mean that two of similar divergence retain alike: at 4 bits, the [calibrated
            methods](calibrated.md) diverge less from SmolLM2 than plain rounding does, and none measurably
            retains more facts; on Gemma 3 270M, HQQ alone does."""
        ),
    )
    kl, ratio = (
        {label: cell for label, by_name in found.items() for name, cell in by_name.items() if name.startswith(start)}
        for start in ("mean KL", "ln of")
    )
    answer = f"""The mean divergence from the original ranks the variants much as the retained facts do (rank
        correlation {_each(kl)}); the ratio of perplexities on the same text does so in a real model only
        ({_each(ratio)}). On [SmolLM2](calibrated.md), no 4-bit method that diverges less than plain rounding
        measurably retains more facts; on Gemma 3 270M, HQQ alone does."""
    return Page(
        "answers-cheap-numbers.md",
        "Do divergence and perplexity foretell the loss of facts?",
        answer,
        "divergence",
        text,
    )


def _foretold(subject: Subject) -> Mapping[str, Foretold]:
    found = {}
    for each in foretold(subject.results.summary):
        if (each.model, each.task) == (subject.model, subject.evidence.task) and each.source != each.task:
            name = each.number.partition(" (")[0]
            found[f"{name} ({each.source})" if each.source else name] = each
    return found


def _both(found: Foretold | None) -> tuple[Estimate | None, Estimate | None]:
    return (None, None) if found is None else (found.correlation, found.at_equal_size)


def _each(found: Mapping[str, Foretold]) -> str:
    values = {label: each.correlation.value for label, each in found.items() if each.correlation is not None}
    found_in = [f"{value:.2f} in {named([label])}" for label, value in values.items()]
    return joined(found_in) if found_in else "not measured"


def which_facts(models: Sequence[Subject]) -> Page:
    """What kind of fact goes first, and where the forgotten ones went."""
    fitted = {each.label: _regression(each) for each in models}
    rows = [[words, *(number(fitted[each.label].get(name)) for each in models)] for name, words in _PREDICTORS.items()]
    fates = {each.label: _fates(each) for each in models}
    recovered = dict.fromkeys(recipe for each in models for recipe in each.recipes if recipe.endswith(_RECOVERY))
    returned = [
        [f"`{recipe.removesuffix(_RECOVERY)}`", each.label, *_recovery(each, recipe)]
        for recipe in recovered
        for each in models
        if recipe in each.recipes
    ]
    labels = [each.label for each in models]
    text = stacked(
        "## Which facts go first",
        paragraph(
            """For each fact that the model knew: the share of the run's damaging variants (those that retain 5% to 95%
            and are better than guessing) without `lora_recover` that forget it, modelled by a linear regression
            with a constant for each relation and standard errors clustered by relation. The *margin* is the
            log-likelihood of the right answer minus that of the best wrong one. The *frequency* is the logarithm of how
            many of the known facts of the relation have this answer. The *popularity* is the logarithm of the number of
            people who live in the place, speak the language or use the currency; chemical elements have none and get
            the mean. Each number is the change of that share (as a fraction: -0.06 is 6 points less) for a margin, a
            frequency or a popularity one standard deviation larger."""
        ),
        table(["", *labels], rows),
        "## Lost or only outranked?",
        paragraph(
            """The facts that these variants forgot, in relations with more than ten possible answers, in percent:
            *still near*: the right answer is among the first five; *other phrasing*: it is not, but the fact is right
            in the other of two phrasings, one of which the model was trained on (SmolLM2 was asked in one only);
            *lost*: neither. Intervals have relations as the sampling unit."""
        ),
        table(
            ["", *labels],
            [[fate, *(points(fates[label].get(fate), signed=False) for label in labels)] for fate in FATES],
        ),
        "## What a short training run brings back",
        paragraph(
            """Each recipe below is followed by [`lora_recover`](../decisions/046-recovery.md): 200 steps of
            distillation on statements of 128 of the facts, which are left out here (not run on SmolLM2). All
            numbers are in percent of the remaining facts that were forgotten before the training: *returned*: right
            again; *newly lost*: right before the training, wrong after it; *net*: the difference. That facts return
            although the text did not contain them means either that they were out of reach rather than erased, or
            that the training restored what facts share, such as which answers are frequent. This experiment cannot
            tell the two apart."""
        ),
        table(["recipe", "model", "returned", "newly lost", "net"], returned, texts=2),
    )
    margins = [fitted[label]["margin"].value for label in labels]
    near = [fates[label]["still near"].value for label in labels]
    often, popular = ([fitted[label][name].value for label in labels] for name in ("frequency", "popularity"))
    answer = f"""Facts with a small margin (the lead of the right answer over the best wrong one) and those whose answer
        is rare: a margin one standard deviation larger lowers
    the share of damaging variants (those that retain 5% to 95%) that forget a fact by {-max(margins):.2f} to
    {-min(margins):.2f}, a more frequent
    answer by {-max(often):.2f} to {-min(often):.2f}; how well known the subject is changes it by at most
    {max(map(abs, popular)):.2f}. Of the forgotten answers, {100 * min(near):.0f}% to {100 * max(near):.0f}% are still
    among the first five."""
    return Page(
        "answers-which-facts.md",
        "Which facts are forgotten first, and are they lost or only outranked?",
        answer,
        "small margins, rare answers",
        text,
    )


def _damaging(subject: Subject) -> list[int]:
    places = subject.evidence.draws.recipes
    return [
        places.index(recipe)
        for recipe, share in subject.informative.items()
        if 0.05 <= share <= 0.95 and _RECOVERY not in recipe
    ]


def _regression(subject: Subject) -> Mapping[str, Estimate]:
    answers = subject.evidence.answers
    assert answers.baseline is not None
    known = answers.known
    frame = pd.DataFrame(
        {
            "forgotten": 1 - answers.correct[_damaging(subject)][:, known].mean(axis=0),
            "margin": answers.margin[answers.baseline][known],
            "popularity": np.log(answers.popularity[known]),
            "relation": answers.relation[known],
            "answer": subject.gold[known],
        }
    )
    frame["frequency"] = np.log(frame.groupby(["relation", "answer"])["answer"].transform("size"))
    # Where it is unknown, it explains nothing: the relation has a constant of its own.
    of_relation = frame.groupby("relation")["popularity"].transform("mean")
    frame["popularity"] = frame["popularity"].fillna(of_relation).fillna(frame["popularity"].mean())
    for name in _PREDICTORS:
        frame[name] = (frame[name] - frame[name].mean()) / frame[name].std()
    fitted = smf.ols(f"forgotten ~ {' + '.join(_PREDICTORS)} + C(relation)", frame).fit(
        cov_type="cluster", cov_kwds={"groups": frame["relation"]}, use_t=True
    )
    limits = fitted.conf_int()
    return {name: Estimate(float(fitted.params[name]), *map(float, limits.loc[name])) for name in _PREDICTORS}


def _fates(subject: Subject) -> Mapping[str, Estimate]:
    """Return the share of each fate among the facts that damaging variants forgot."""
    answers = subject.evidence.answers
    relation = dict(zip(answers.items, answers.relation, strict=True))
    counts = {fate: np.zeros(len(answers.relations)) for fate in FATES}
    for place in _damaging(subject):
        elsewhere = subject.right_elsewhere(answers.recipes[place])
        for entry in subject.ledger(answers.recipes[place]).entries:
            if entry.status != "forgotten" or entry.fate is None:
                continue
            is_lost = entry.fate == "lost" and entry.item_id in elsewhere
            counts["other phrasing" if is_lost else entry.fate][relation[entry.item_id]] += 1
    total = np.sum(list(counts.values()), axis=0)
    if subject.elsewhere is None:
        del counts["other phrasing"]
    return {fate: over_relations(each, total) for fate, each in counts.items()}


def _recovery(subject: Subject, recipe: str) -> Sequence[str]:
    """Return what a training did, in percent of the facts forgotten before it: returned, newly lost, net."""
    before = recipe.removesuffix(_RECOVERY)
    answers = subject.evidence.answers
    one, other = (answers.correct[answers.recipes.index(each)] for each in (before, recipe))
    counted = answers.known & ~np.isin(answers.items.astype(str), sorted(subject.taught))
    forgotten = subject.by_relation(counted & ~one)
    returned, lost = (subject.by_relation(marks) for marks in (counted & ~one & other, counted & one & ~other))
    parts = (returned, lost, returned - lost)
    return [points(over_relations(part, forgotten), signed=False) for part in parts]


def agreement(models: Sequence[Subject]) -> Page:
    """Whether methods, and models, forget the same facts."""
    rows, methods = [], []
    for one, other in combinations(_METHODS, 2):
        cells = [_overlap_of_methods(each, _METHODS[one], _METHODS[other]) for each in models]
        if any(cells):
            rows.append([f"{one} · {other}", *map(number, cells)])
            methods += [cell for cell in cells if cell is not None]
    pairs, between = [], []
    for first, second in combinations(models, 2):
        cells = [_overlap_of_models(first, second, recipe) for recipe in _SAME_RECIPES]
        if any(cells):
            pairs.append([f"{first.label} · {second.label}", *map(number, cells)])
            between += [cell for cell in cells if cell is not None]
    text = stacked(
        paragraph(
            """Each number is the number of facts that both variants forget, beyond what chance would give, as a share
            of the largest such number possible: 0 if, within each relation, which facts one forgets has nothing to do
            with which the other forgets; 1 if one forgets only facts that the other forgets as well. A dash means that
            the largest possible number is less than ten facts. Intervals are over relations."""
        ),
        "## Methods",
        paragraph(
            """For each pair of methods, the two variants of the run whose losses are closest, if each forgets 10% to
            90% of the known facts and is better than guessing, and they differ by at most 10 points; a dash if there
            are none. *Single weights pruned* is `l1_unstructured`; *rounded*: `round_to_nearest`, `gptq`, `awq` and
            `hqq`; *rank removed*: `svd`; *units removed*: `ln_structured`; *N:M*: `n_m`; each with the scope
            `overall`."""
        ),
        table(["two methods", *(each.label for each in models)], rows),
        "## Models" if pairs else "",
        paragraph(
            """The same recipe, on the facts that both models knew, if both are still better than guessing; their
            losses may differ. Pairs without any such number are left out."""
        )
        if pairs
        else "",
        table(["two models", *(f"`{recipe}`" for recipe in _SAME_RECIPES)], pairs) if pairs else "",
    )
    answer = f"""Two methods with similar losses share {_range(methods)} of the overlap that is possible beyond
        chance (the interval is above 0 in {_above(methods)} cases); two models under the same recipe,
        {_range(between)} (in {_above(between)})."""
    verdict = "more than chance, far from all" if between else "more than chance"
    return Page("answers-agreement.md", "Do methods, and models, forget the same facts?", answer, verdict, text)


def _above(found: Sequence[Estimate]) -> str:
    return f"{sum(each.low > 0 for each in found)} of {len(found)}"


def _range(found: Sequence[Estimate]) -> str:
    values = [each.value for each in found]
    return f"{min(values):.2f} to {max(values):.2f}" if values else "—"


def _overlap_of_methods(subject: Subject, some: tuple[str, ...], others: tuple[str, ...]) -> Estimate | None:
    usable = {
        recipe: share for recipe, share in subject.informative.items() if 0.1 <= share <= 0.9 and "+" not in recipe
    }
    pairs = [
        (abs(usable[one] - usable[other]), one, other)
        for one in usable
        for other in usable
        if one.startswith(some) and other.startswith(others)
    ]
    if not pairs or min(pairs)[0] > 0.1:
        return None
    answers = subject.evidence.answers
    one, other = (answers.known & ~answers.correct[answers.recipes.index(each)] for each in min(pairs)[1:])
    return _overlap(subject, one, other, answers.known)


def _overlap_of_models(first: Subject, second: Subject, recipe: str) -> Estimate | None:
    if any(recipe not in each.informative for each in (first, second)) or first.evidence.task != second.evidence.task:
        return None
    some, others = first.evidence.answers, second.evidence.answers
    place = {item: index for index, item in enumerate(others.items)}
    order = np.asarray([place.get(item, -1) for item in some.items])
    known = some.known & others.known[order] & (order >= 0)
    one, other = (~each.correct[each.recipes.index(recipe)] for each in (some, others))
    return _overlap(first, known & one, known & other[order], known)


def _overlap(
    subject: Subject, one: NDArray[np.bool_], other: NDArray[np.bool_], known: NDArray[np.bool_]
) -> Estimate | None:
    both, first, second, whole = map(subject.by_relation, (one & other, one, other, known))
    expected = np.divide(first * second, whole, out=np.zeros_like(whole), where=whole > 0)
    most = np.minimum(first, second)
    # With little room, a single fact decides.
    return over_relations(both - expected, most - expected) if (most - expected).sum() >= _ROOM else None
