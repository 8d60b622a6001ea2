"""The pages, one function each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from claims import Question, at_equal, at_points, difference, least, per_saved, published, removed, saved, tested
from evidence import Subject
from forgetmeter.results.findings import all_findings
from forgetmeter.results.findings.effect import ClaimTest
from forgetmeter.results.foretelling import foretold
from forgetmeter.results.ledger import FATES
from forgetmeter.results.treatments import treatments
from forgetmeter.statistics.paired import Estimate
from forgetmeter.statistics.resampling import cluster_weights, expanded_interval
from recipes import BITS, FEW_BITS, ORDERS, STRUCTURES, pruned
from text import (
    LEGEND,
    Page,
    bullet,
    claims_table,
    in_words,
    listed,
    number,
    paragraph,
    points,
    table,
    verdict_in_words,
)

_BOTH, _ATTENTION, _FEED_FORWARD = pruned("overall"), pruned("attention"), pruned("feed_forward")


def _finding(name: str) -> ClaimTest:
    return next(each for each in all_findings.FINDINGS if each.claim.name == name)


def findings(models: Sequence[Subject]) -> Page:
    """The paper's four findings at equal sparsity, equal removed weights and equal bytes."""
    alone = ((_ATTENTION, _BOTH), (_FEED_FORWARD, _BOTH))
    questions = [
        Question(
            "1. Pruning attention and feed-forward together costs most, at equal sparsity",
            published(_finding("overall_hurts_most")),
        ),
        Question("… at equal numbers of removed weights", least(*(at_equal(*pair, removed) for pair in alone))),
        Question("… at equal bytes saved", least(*(at_equal(*pair, saved) for pair in alone))),
        Question(
            "2. Past 50%, each further 10% of sparsity costs more than up to 50%",
            published(_finding("rapid_fall_past_half")),
        ),
        Question(
            "3. Quantizing attention to 8 bits costs less than quantizing feed-forward",
            difference([("dynamic_int8:attention", "dynamic_int8:feed_forward")]),
        ),
        Question("… per MB saved", per_saved("dynamic_int8:attention", "dynamic_int8:feed_forward")),
        Question(
            "3b. The same with weights rounded to 4, 3 and 2 bits",
            difference([(f"round_to_nearest:attention:{b}", f"round_to_nearest:feed_forward:{b}") for b in (4, 3, 2)]),
        ),
        Question(
            "… at equal bytes saved",
            at_equal(
                [f"round_to_nearest:attention:{b}" for b in (8, 4, 3, 2)],
                [f"round_to_nearest:feed_forward:{b}" for b in (8, 4, 3, 2)],
                saved,
            ),
        ),
        Question(
            "4. Pruning whole rows of the final layer costs more than pruning single weights, at equal sparsity",
            published(_finding("structured_final_layer_worse")),
        ),
        Question(
            "… at equal bytes saved (by L1 norm)",
            at_equal(
                [f"l1_unstructured:head:{each}" for each in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)],
                [f"ln_structured:head:{each}:dim=0:n=1" for each in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)],
                saved,
            ),
        ),
    ]
    rows = tested(questions, models)
    first, by_removed, second, third, few, fourth = (rows[each] for each in (0, 1, 3, 4, 6, 8))
    text = "\n\n".join(
        [
            "Each number is a difference of what is retained of the facts that the model knew, in points; above zero, the "
            'finding holds. In row 2, it is the loss per 10% of sparsity past 50% minus that up to 50%. In the row "per MB '
            'saved", it is points per MB.',
            claims_table(rows, "finding"),
            paragraph(LEGEND),
            "## What it shows",
            "\n".join(
                [
                    bullet(
                        f"**1** at equal sparsity: {in_words(first)}. At equal numbers of removed weights: "
                        f"{in_words(by_removed)}. At equal sparsity, both together lose the weights of both; that is "
                        "most of what the finding says."
                    ),
                    bullet(
                        f"**2**: {in_words(second)}. Which level is half-way depends on the scope: see the curves in "
                        "[standards](standards.md)."
                    ),
                    bullet(
                        f"**3** in 8 bits: {in_words(third)}; in 4 to 2 bits: {in_words(few)}. Where 8 bits lose "
                        "next to nothing, there is nothing to compare."
                    ),
                    bullet(f"**4**: {in_words(fourth)}."),
                ]
            ),
        ]
    )
    answer = (
        f"1, both together cost most: {in_words(first)} at equal sparsity, {in_words(by_removed)} at equal numbers of "
        f"removed weights. 2, rapid fall past 50%: {in_words(second)}. 3, attention is cheaper to quantize: "
        f"{in_words(third)} in 8 bits. 4, rows of the final layer: {in_words(fourth)}."
    )
    return Page("answers-findings.md", "The paper's four findings", answer, "see the page", text)


def structure(models: Sequence[Subject]) -> Page:
    """Q2: heads, layers, units, N:M and rank against single weights at equal bytes."""
    questions = [
        Question(name, at_points(recipes, pruned(scope), saved)) for name, (scope, recipes) in STRUCTURES.items()
    ]
    rows = tested(questions, models)
    shares = [
        [f"`{recipe}`", *(points(each.retained(recipe), signed=False) for each in models)]
        for _, recipes in STRUCTURES.values()
        for recipe in recipes
    ]
    worse = [row[0].sentence for row in rows if all(each.verdict == "supported" for each in row if each.effect)]
    better = [row[0].sentence for row in rows if any(each.verdict == "contradicted" for each in row)]
    says = f"Single weights retain more than {listed(worse)} in every model." if worse else ""
    if better:
        says += f" {listed(better).capitalize()} retain more in at least one."
    text = "\n\n".join(
        [
            "What remains with single weights pruned by magnitude, minus what remains with a structure removed that saves as "
            "many bytes; the mean over two levels, in points. Single weights are stored with a bitmask, so they save less than "
            "they remove. The curve of single weights is interpolated between tenths.",
            claims_table(rows, "instead of single weights"),
            paragraph(LEGEND),
            "## Retained, in percent",
            table(["recipe", *(each.label for each in models)], shares),
        ]
    )
    return Page(
        "answers-structure.md",
        "Q2: heads, layers, whole units, N:M and rank against single weights, at equal bytes",
        says.strip() or "No structure differs from single weights in all models.",
        "single weights" if worse and not better else "depends on the structure",
        text,
    )


def order(models: Sequence[Subject]) -> Page:
    """Q3: prune first, quantize first, or between."""
    first = [(each[0], each[1]) for each in FEW_BITS]
    questions = [
        Question("prune first, then 8 bits, rather than the reverse", difference(ORDERS)),
        *(
            Question(f"prune first, then {bits} bits, rather than the reverse", difference([pair]))
            for bits, pair in zip((4, 3), first, strict=True)
        ),
        *(
            Question(f"prune half, {bits} bits, prune half, rather than prune first", difference([(each[2], each[0])]))
            for bits, each in zip((4, 3), FEW_BITS, strict=True)
        ),
    ]
    rows = tested(questions, models)
    recipes = [recipe for each in (*ORDERS, *FEW_BITS) for recipe in each]
    shares = [
        [f"`{recipe}`", *(points(each.retained(recipe), signed=False) for each in models)]
        for recipe in dict.fromkeys(recipes)
    ]
    largest = max(abs(each.effect.value) for row in rows[:1] for each in row if each.effect)
    text = "\n\n".join(
        [
            "What remains with the first order minus what remains with the other, at the same levels, in points. Both have the "
            "same weights at zero up to ties, and the same bits.",
            claims_table(rows, "order"),
            paragraph(LEGEND),
            "## Retained, in percent",
            table(["recipe", *(each.label for each in models)], shares),
        ]
    )
    answer = (
        f"In 8 bits, the order changes what is retained by at most {100 * largest:.1f} points in the mean over scopes and "
        f"levels. Pruning before rounding to 3 bits retains more: {in_words(rows[2])}."
    )
    return Page("answers-order.md", "Q3: prune or quantize first", answer, verdict_in_words(rows[2]), text)


def bits(models: Sequence[Subject]) -> Page:
    """Next check 2: 16 to 2 bits, with and without groups, plain and calibrated."""
    plain, groups = BITS["plain, one scale per output unit"], BITS["plain, groups of 32"]
    questions = [
        Question(
            f"{better} rather than {worse}, {level} bits",
            difference([(BITS[better].format(bits=level), BITS[worse].format(bits=level))]),
        )
        for level in (4, 3, 2)
        for better, worse in (
            ("plain, groups of 32", "plain, one scale per output unit"),
            ("clipped, one scale per output unit", "plain, one scale per output unit"),
            ("HQQ, groups of 32", "plain, groups of 32"),
            ("GPTQ, groups of 32", "plain, groups of 32"),
            ("AWQ, groups of 32", "plain, groups of 32"),
        )
    ]
    rows = tested(questions, models)
    named = {"16 (bfloat16)": ["cast:overall:dtype=bfloat16"]}
    named |= {str(level): [plain.format(bits=level), groups.format(bits=level)] for level in (8, 6, 5)}
    named |= {str(level): [each.format(bits=level) for each in BITS.values()] for level in (4, 3, 2)}
    shares = [
        [level, f"`{recipe}`", *(points(each.retained(recipe), signed=False) for each in models)]
        for level, recipes in named.items()
        for recipe in recipes
        if any(each.retained(recipe) for each in models)
    ]
    least_bits = [f"{each.label}: {_fewest_bits(each)}" for each in models]
    text = "\n\n".join(
        [
            "Attention and feed-forward in fewer bits; embeddings and the final layer stay as they are. Groups of 32 have one "
            "scale for 32 weights, one bit more per weight. HQQ has a zero point as well.",
            table(["bits", "recipe", *(each.label for each in models)], shares).replace(
                "| :--- | ---:", "| ---: | :---", 1
            ),
            "## Differences, in points",
            claims_table(rows, "what is compared"),
            paragraph(LEGEND),
        ]
    )
    answer = (
        f"Fewest bits that retain 99% of the facts with certainty, plain or calibrated: {listed(least_bits)}. At 3 bits, groups "
        f"of 32 retain more than one scale per output unit: {in_words(rows[5])}; GPTQ more than plain rounding in the same "
        f"groups: {in_words(rows[8])}; AWQ: {in_words(rows[9])}."
    )
    return Page(
        "answers-bits.md",
        "How few bits? 16 to 2, with and without groups, plain and calibrated",
        answer,
        "see the page",
        text,
    )


def _fewest_bits(subject: Subject) -> str:
    for level in (2, 3, 4, 5, 6, 8):
        for name, recipe in BITS.items():
            found = subject.retained(recipe.format(bits=level))
            if found is not None and found.low >= 0.99:
                return f"{level} ({name})"
    return "16"


def cheap_numbers(models: Sequence[Subject]) -> Page:
    """Whether perplexity, divergence and accuracy foretell what is retained."""
    by_model = {
        (each.model, task.task, task.number, task.source): task
        for each in models
        for task in foretold(each.results.summary)
        if task.task == each.evidence.task and task.source != task.task
    }
    numbers = dict.fromkeys((name.partition(" (")[0], source) for _, _, name, source in by_model)
    rows = []
    for name, source in numbers:
        cells = []
        for each in models:
            found = next(
                (
                    task
                    for (model, _, label, of), task in by_model.items()
                    if (model, label.partition(" (")[0], of) == (each.model, name, source)
                ),
                None,
            )
            cells += [number(found and found.correlation), number(found and found.at_equal_size)]
        rows.append([f"{name}{f' ({source})' if source else ''}", *cells])
    header = ["number", *(words for each in models for words in (each.label, "at equal size"))]
    variants = listed([f"{len(each.recipes)} ({each.label})" for each in models])
    text = "\n\n".join(
        [
            paragraph(
                "Spearman's rank correlation of each number with what is retained of the facts, over all variants of the run: "
                f"{variants}. 1: the number ranks the variants as the retained facts do. *At equal size*: the partial "
                "correlation given the bytes ([how it is computed](../findings.md#do-cheap-numbers-foretell-forgetting))."
            ),
            table(header, rows),
            paragraph(
                "The standards have read nothing but statements of facts. The text of `divergence` is foreign to them, and their "
                "perplexity on it says nothing about a real language model; the divergence from the original does not need to be "
                "good at the text."
            ),
        ]
    )
    kl = [found for (_, _, name, _), found in by_model.items() if name == "mean KL" and found.correlation]
    ratio = [found for (_, _, name, _), found in by_model.items() if name.startswith("ln of") and found.correlation]
    answer = (
        f"Mean divergence ranks variants nearly as the facts do (rank correlation {_between(kl)}); the perplexity ratio "
        f"does not ({_between(ratio)}), on a text that is foreign to the standards."
    )
    return Page(
        "answers-cheap-numbers.md",
        "Do perplexity, divergence or accuracy foretell the loss of facts?",
        answer,
        "divergence",
        text,
    )


def _between(found: Sequence[object]) -> str:
    values = sorted(each.correlation.value for each in found)  # type: ignore[attr-defined]
    return f"{values[0]:.2f} to {values[-1]:.2f}"


def which_facts(models: Sequence[Subject]) -> Page:
    """What kind of fact goes first, and where the forgotten ones went."""
    columns = {each.label: _regression(each) for each in models}
    names = ("margin", "frequency", "rank in the other phrasing")
    rows = [
        [words, *(number(columns[each.label].get(words)) for each in models)]
        for words in names
        if any(words in c for c in columns.values())
    ]
    fates = [[fate, *(points(_fate(each, fate), signed=False) for each in models)] for fate in FATES]
    returned = [
        [f"`{recipe}`", *(_returned(each, recipe) for each in models)]
        for recipe in models[0].recipes
        if recipe.endswith("+lora_recover:overall")
    ]
    margins = [columns[each.label]["margin"] for each in models]
    text = "\n\n".join(
        [
            "## Which facts go first",
            paragraph(
                "For each fact that the model knew: the share of the run's damaging variants (those that retain 5% to 95%) that "
                "forget it, explained by linear regression with one constant per relation, and standard errors clustered by "
                "relation. *margin*: log-likelihood of the right answer minus that of the best wrong one, before compression. "
                "*frequency*: logarithm of how often the answer is right within its relation. Each number is the change of the share for "
                "one standard deviation. Built-in facts have no popularity."
            ),
            table(["one standard deviation more", *(each.label for each in models)], rows),
            "## Forgotten or displaced",
            paragraph(
                "Of all facts forgotten by the same variants, in percent: right answer still among the first five; else, right in the other "
                "phrasing; else lost. Intervals are over relations."
            ),
            table(["fate", *(each.label for each in models)], fates),
            "## What a short training brings back",
            paragraph(
                "Share of the forgotten facts that are right again after `lora_recover` (200 steps of distillation on 128 statements of facts, "
                "which are not counted here), in percent; in brackets, the share retained before and after."
            ),
            table(["recipe", *(each.label for each in models)], returned),
        ]
    )
    answer = (
        "Facts that the model was less sure of go first: one standard deviation more of margin changes the share of damaging variants that "
        f"forget a fact by {min(each.value for each in margins):.2f} to {max(each.value for each in margins):.2f}."
    )
    return Page(
        "answers-which-facts.md",
        "What kind of fact goes first; forgotten or displaced?",
        answer,
        "narrow margins",
        text,
    )


def _damaging(subject: Subject) -> list[int]:
    draws = subject.evidence.draws
    return [
        place
        for place, (recipe, share) in enumerate(zip(draws.recipes, draws.retained, strict=True))
        if recipe != "baseline" and 0.05 <= share <= 0.95 and "lora_recover" not in recipe
    ]


def _regression(subject: Subject) -> dict[str, Estimate]:
    answers = subject.evidence.answers
    known = answers.known
    damaging = _damaging(subject)
    assert answers.baseline is not None
    frame = pd.DataFrame(
        {
            "forgotten": 1 - answers.correct[damaging][:, known].mean(axis=0),
            "margin": answers.margin[answers.baseline][known],
            "relation": answers.relation[known],
            "answer": _gold(subject)[known],
        }
    )
    counts = frame.groupby(["relation", "answer"])["answer"].transform("size")
    frame["frequency"] = np.log(counts)
    for name in ("margin", "frequency"):
        frame[name] = (frame[name] - frame[name].mean()) / frame[name].std()
    fitted = smf.ols("forgotten ~ margin + frequency + C(relation)", frame).fit(
        cov_type="cluster", cov_kwds={"groups": frame["relation"]}, use_t=True
    )
    limits = fitted.conf_int()
    return {
        name: Estimate(float(fitted.params[name]), *map(float, limits.loc[name])) for name in ("margin", "frequency")
    }


def _gold(subject: Subject) -> np.ndarray:
    """Return the right answer of each item."""
    recipe = subject.recipes[0]
    ledger = subject.results.ledgers(recipe, task=subject.evidence.task, model=subject.model)[0]
    by_item = {entry.item_id: entry.gold for entry in ledger.entries}
    return np.asarray([by_item.get(item, "") for item in subject.evidence.answers.items], dtype=object)


def _fate(subject: Subject, fate: str) -> Estimate:
    """Return the share of the facts that damaging variants forgot that have a fate, over relations."""
    answers = subject.evidence.answers
    relation = {item: int(place) for item, place in zip(answers.items, answers.relation, strict=True)}
    number_of = len(answers.relations)
    sums, sizes = np.zeros(number_of), np.zeros(number_of)
    for place in _damaging(subject):
        ledger = subject.results.ledgers(answers.recipes[place], task=answers.task, model=answers.model)[0]
        for entry in ledger.entries:
            if entry.status == "forgotten":
                sums[relation[entry.item_id]] += entry.fate == fate
                sizes[relation[entry.item_id]] += 1
    weights = cluster_weights(number_of)
    draws = (weights @ sums) / (weights @ sizes)
    return expanded_interval(float(sums.sum() / sizes.sum()), draws, clusters=number_of)


def _returned(subject: Subject, recipe: str) -> str:
    """Return the share of the facts forgotten before the recovery that are right after it."""
    before = recipe.removesuffix("+lora_recover:overall")
    answers = subject.evidence.answers
    if not {recipe, before} <= set(answers.recipes):
        return "—"
    one, other = (answers.correct[answers.recipes.index(each)] for each in (before, recipe))
    counted = answers.known & ~np.isin(answers.items, sorted(_taught(subject)))
    forgotten = counted & ~one
    relations = answers.relation
    sums = np.bincount(relations[forgotten & other], minlength=len(answers.relations)).astype(float)
    sizes = np.bincount(relations[forgotten], minlength=len(answers.relations)).astype(float)
    weights = cluster_weights(len(sums))
    with np.errstate(invalid="ignore"):
        draws = (weights @ sums) / (weights @ sizes)
    share = expanded_interval(float(sums.sum() / sizes.sum()), draws, clusters=len(sums))
    return f"{points(share, signed=False)} ({100 * one[counted].mean():.1f} → {100 * other[counted].mean():.1f})"


def _taught(subject: Subject) -> set[str]:
    """Return the items whose statements the recovery was trained on."""
    from forgetmeter.config.study import CalibrationSettings
    from forgetmeter.models.loaded import load
    from forgetmeter.probes.loading import load_task
    from forgetmeter.scoring.calibration import calibration_calls

    loaded = load(subject.model)
    settings = CalibrationSettings(**subject.results.study["calibration"])
    calls = calibration_calls(loaded, settings)
    rows = {tuple(row.tolist()) for call in calls for row in call["input_ids"]}
    found = set()
    for item in load_task(subject.evidence.task).items:
        text = item.cloze.filled(item.choices[item.gold[0]])
        ids = tuple(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])
        if any(_contains(row, ids) for row in rows):
            found.add(item.id)
    return found


def _contains(row: tuple[int, ...], ids: tuple[int, ...]) -> bool:
    return any(row[start : start + len(ids)] == ids for start in range(len(row) - len(ids) + 1))


def agreement(models: Sequence[Subject]) -> Page:
    """Whether methods, and models, forget the same facts."""
    kinds = {
        "single weights pruned": [f"l1_unstructured:overall:{each / 10}" for each in range(3, 10)],
        "rounded": ["round_to_nearest:overall:3", "round_to_nearest:overall:2", "gptq:overall:2:group_size=32"],
        "rank removed": ["svd:overall:0.25", "svd:overall:0.5"],
        "units removed": ["ln_structured:overall:0.25", "ln_structured:overall:0.5"],
        "2:4": ["n_m:overall:m=4:n=1", "n_m:overall:m=4:n=2"],
        "layers dropped": ["drop_layers:overall:0.25", "drop_layers:overall:0.5"],
    }
    rows = []
    for one, other in combinations(kinds, 2):
        cells = [_overlap_of_kinds(each, kinds[one], kinds[other]) for each in models]
        if any(cells):
            rows.append([f"{one} · {other}", *(number(cell) for cell in cells)])
    between = []
    for one, other in combinations(models, 2):
        cells = [
            _overlap_of_models(one, other, recipe)
            for recipe in ("l1_unstructured:overall:0.5", "round_to_nearest:overall:3")
        ]
        if any(cells):
            between.append([f"{one.label} · {other.label}", *(number(cell) for cell in cells)])
    values = [float(cell.partition(" ")[0]) for row in rows for cell in row[1:] if cell != "—"]
    text = "\n\n".join(
        [
            paragraph(
                "How many facts two variants both forget, divided by the number expected if the second one forgot as many facts of each "
                "relation at random. 1: no more than chance. Of each two kinds, the pair of variants of the run whose losses are closest is "
                "compared, if each forgets 10% to 90% and they are within 10 points. Intervals are over relations."
            ),
            "## Methods",
            table(["two methods", *(each.label for each in models)], rows),
            *(
                [
                    "## Models",
                    "The same recipe, on the facts that both models knew.",
                    table(["two models", "`l1_unstructured:overall:0.5`", "`round_to_nearest:overall:3`"], between),
                ]
                if between
                else []
            ),
        ]
    )
    answer = f"Two methods with equal losses both forget {min(values):.1f} to {max(values):.1f} times as many facts as chance would have it."
    return Page(
        "answers-agreement.md", "Do methods, and models, forget the same facts?", answer, "more than chance", text
    )


def _overlap_of_kinds(subject: Subject, some: Sequence[str], others: Sequence[str]) -> Estimate | None:
    draws = subject.evidence.draws
    share = dict(zip(draws.recipes, draws.retained, strict=True))
    pairs = [
        (abs(share[one] - share[other]), one, other)
        for one in some
        for other in others
        if one in share and other in share and 0.1 <= share[one] <= 0.9 and 0.1 <= share[other] <= 0.9
    ]
    if not pairs or min(pairs)[0] > 0.1:
        return None
    _, one, other = min(pairs)
    answers = subject.evidence.answers
    forgotten = [answers.known & ~answers.correct[answers.recipes.index(each)] for each in (one, other)]
    return _overlap(*forgotten, answers.known, answers.relation)


def _overlap_of_models(one: Subject, other: Subject, recipe: str) -> Estimate | None:
    if recipe not in one.recipes or recipe not in other.recipes or one.evidence.task != other.evidence.task:
        return None
    first, second = one.evidence.answers, other.evidence.answers
    place = {item: number for number, item in enumerate(second.items)}
    order = np.asarray([place[item] for item in first.items])
    known = first.known & second.known[order]
    lost = [~each.correct[each.recipes.index(recipe)] for each in (first, second)]
    return _overlap(known & lost[0], known & lost[1][order], known, first.relation)


def _overlap(one: np.ndarray, other: np.ndarray, known: np.ndarray, relation: np.ndarray) -> Estimate | None:
    number_of = int(relation.max()) + 1
    both, first, second, all_known = (
        np.bincount(relation[each], minlength=number_of).astype(float) for each in (one & other, one, other, known)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.nan_to_num(first * second / all_known)
    if not expected.sum():
        return None
    weights = cluster_weights(number_of)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = (weights @ both) / (weights @ expected)
    return expanded_interval(float(both.sum() / expected.sum()), draws, clusters=number_of)


PAGES = (findings, structure, order, bits, cheap_numbers, which_facts, agreement)
