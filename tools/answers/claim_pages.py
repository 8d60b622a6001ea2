"""Pages that compare recipes: the paper's findings, structure, order and bits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from claims import (
    Question,
    at_equal,
    at_points,
    difference,
    overall,
    per_saved,
    published,
    removed,
    saved,
    tested,
)
from evidence import Subject
from recipes import BITS, FEW_BITS, ORDERS, STRUCTURES, TENTHS, pruned
from text import (
    LEGEND,
    Page,
    bullets,
    claims_table,
    in_words,
    joined,
    listed,
    paragraph,
    points,
    table,
)

from forgetmeter.results.findings import all_findings
from forgetmeter.results.findings.effect import ClaimTest

_ENOUGH = 0.99


def _finding(name: str) -> ClaimTest:
    return next(each for each in all_findings.FINDINGS if each.claim.name == name)


def findings(models: Sequence[Subject]) -> Page:
    """The paper's four findings at equal sparsity, equal removed weights and equal bytes."""
    attention, feed_forward = (
        [f"round_to_nearest:{scope}:{bits}" for bits in (8, 4, 3, 2)] for scope in ("attention", "feed_forward")
    )
    questions = [
        Question(
            "1. Pruning attention and feed-forward together costs most, at equal sparsity",
            published(_finding("overall_hurts_most")),
        ),
        *(
            Question(f"1. … more than {name} alone, at equal {amount}", at_equal(pruned(scope), pruned("overall"), of))
            for amount, of in (("numbers of removed weights", removed), ("bytes saved", saved))
            for name, scope in (("attention", "attention"), ("feed-forward", "feed_forward"))
        ),
        Question(
            "2. Past 50%, each further 10% of sparsity costs more than up to 50%",
            published(_finding("rapid_fall_past_half")),
        ),
        Question(
            "3. Quantizing attention to 8 bits (dynamic) costs less than quantizing feed-forward",
            difference([("dynamic_int8:attention", "dynamic_int8:feed_forward")]),
        ),
        Question("3. … per MB saved", per_saved("dynamic_int8:attention", "dynamic_int8:feed_forward")),
        Question(
            "3. The same for weights rounded to 4, 3 and 2 bits",
            difference(list(zip(attention[1:], feed_forward[1:], strict=True))),
        ),
        Question("3. … at equal bytes saved", at_equal(attention, feed_forward, saved)),
        Question(
            "4. Pruning whole rows of the final layer costs more than single weights, at equal sparsity",
            published(_finding("structured_final_layer_worse")),
        ),
        Question(
            "4. … at equal bytes saved, by L1 norm",
            at_equal(pruned("head"), [f"ln_structured:head:{level}:dim=0:n=1" for level in TENTHS], saved),
        ),
    ]
    rows = tested(questions, models)
    first, *equal, second, third, _, few, few_by_bytes, fourth, fourth_by_bytes = map(in_words, rows)
    than_attention, than_feed_forward, *by_bytes = equal
    text = joined(
        paragraph(
            """Each number is a difference of what is retained of the facts that the model knew, in points; above zero,
            the finding holds. In finding 2, it is the loss per 10% of sparsity past 50% minus that up to 50%; in
            "per MB saved", points per MB. *At equal bytes*: single weights are stored with a bitmask, whole rows
            are left out."""
        ),
        claims_table(rows, "finding"),
        LEGEND,
        "## What it shows",
        bullets(
            f"""**1** is {first} at equal sparsity, at which pruning both removes the weights of both. At equal
            numbers of removed weights, that both cost more than attention alone is {than_attention}, and more than
            feed-forward alone {than_feed_forward}; at equal bytes, {by_bytes[0]} and {by_bytes[1]}.""",
            f"**2** is {second}.",
            f"**3** is {third} with 8 bits, which cost these models next to nothing. With 4 to 2 bits, it is {few}; at "
            "equal bytes, "
            f"{few_by_bytes}.",
            f"""**4** is {fourth}; at equal bytes, {fourth_by_bytes}. Each answer has its own row in the final layer. A
            layer that is tied to the embedding is stored beside it once it is pruned, which saves no bytes.""",
        ),
    )
    answer = f"""1, pruning both costs most: {first} at equal sparsity; at equal numbers of removed weights,
    more than attention alone: {than_attention}, more than feed-forward alone: {than_feed_forward}. 2, rapid
    fall past 50%: {second}. 3, attention is cheaper to quantize: {third} with 8 bits, {few} with 4 to 2. 4,
    rows of the final layer cost more than single weights: {fourth}."""
    return Page("answers-findings.md", "Do the paper's four findings hold?", answer, "mostly", text)


def structure(models: Sequence[Subject]) -> Page:
    """Q2: heads, layers, units, N:M and rank against single weights at equal bytes."""
    rows = tested(
        [Question(name, at_points(recipes, pruned(scope), saved)) for name, (scope, recipes) in STRUCTURES.items()],
        models,
    )
    worse = [row[0].sentence for row in rows if all(each.verdict == "supported" for each in row if each.effect)]
    better = [row[0].sentence for row in rows if any(each.verdict == "contradicted" for each in row)]
    answer = f"At equal bytes, single weights retain more than {listed(worse)} in every model. " if worse else ""
    answer += f"In at least one model, {listed(better)} retain more than single weights." if better else ""
    text = joined(
        paragraph(
            """What remains with single weights pruned by magnitude, minus what remains with a structure removed that
            saves as many bytes; the mean over the levels below, in points. Single weights are stored with a
            bitmask, so they save less than they remove. Their curve is interpolated between tenths. A level that
            saves more than 90% of single weights is left out."""
        ),
        claims_table(rows, "instead of single weights"),
        LEGEND,
        "## Retained, in percent",
        _retained((recipe for _, recipes in STRUCTURES.values() for recipe in recipes), models),
    )
    verdict = "single weights" if worse and not better else "depends on the structure"
    return Page(
        "answers-structure.md",
        "Q2: heads, layers, whole units, N:M and rank against single weights, at equal bytes",
        answer.strip() or "No structure differs from single weights in all models.",
        verdict,
        text,
    )


def order(models: Sequence[Subject]) -> Page:
    """Q3: prune first, quantize first, or between."""
    questions = [
        Question("prune first, then 8 bits, rather than the reverse", difference(ORDERS)),
        *(
            Question(f"prune first, then {bits} bits, rather than the reverse", difference([(each[0], each[1])]))
            for bits, each in zip((4, 3), FEW_BITS, strict=True)
        ),
        *(
            Question(f"prune half, {bits} bits, prune half, rather than prune first", difference([(each[2], each[0])]))
            for bits, each in zip((4, 3), FEW_BITS, strict=True)
        ),
    ]
    rows = tested(questions, models)
    largest = max((abs(each.effect.value) for each in rows[0] if each.effect), default=0.0)
    text = joined(
        paragraph(
            """What remains with the first order minus what remains with the other, at the same levels, in points.
            Rounding first means that many magnitudes tie. Pruning half of the weights before rounding and the rest
            afterwards gives the same weights as rounding first: the smallest are pruned either way, and the largest set
            the scale."""
        ),
        claims_table(rows, "order"),
        LEGEND,
        "## Retained, in percent",
        _retained((recipe for each in (*ORDERS, *FEW_BITS) for recipe in each), models),
    )
    answer = f"""With 8 bits, the order changes what is retained by at most {100 * largest:.1f} points. That
    pruning before rounding
    retains more is {in_words(rows[1])} with 4 bits, and {in_words(rows[2])} with 3."""
    verdict = "prune first, at few bits" if overall(rows[2]) == "supported" else "depends on the model"
    return Page("answers-order.md", "Q3: prune or quantize first?", answer, verdict, text)


def bits(models: Sequence[Subject]) -> Page:
    """Next check 2: 16 to 2 bits, with and without groups, plain and calibrated."""
    plain, groups, clipped, *others = BITS
    pairs = [(groups, plain), (clipped, plain), *((other, groups) for other in others)]
    questions = [
        Question(
            f"{level} bits: {better} rather than {worse}",
            difference([(BITS[better].format(bits=level), BITS[worse].format(bits=level))]),
        )
        for level in (4, 3, 2)
        for better, worse in pairs
    ]
    rows = tested(questions, models)
    at_three = dict(zip([better for better, _ in pairs], rows[len(pairs) :], strict=False))
    recipes = ["cast:overall:dtype=bfloat16"]
    recipes += [BITS[name].format(bits=level) for level in (8, 6, 5) for name in (plain, groups)]
    recipes += [recipe.format(bits=level) for level in (4, 3, 2) for recipe in BITS.values()]
    text = joined(
        paragraph(
            """Attention and feed-forward in fewer bits; embeddings and the final layer stay as they are. Groups of 32
            have one scale for 32 weights, one bit more per weight in float32; HQQ has a zero point as well."""
        ),
        "## Retained, in percent",
        _retained(recipes, models),
        "## Differences, in points",
        claims_table(rows, "what is compared"),
        LEGEND,
    )
    fewest = listed([f"{_fewest_bits(each)} in the {each.label}" for each in models])
    calibrated = "; ".join(f"{name.partition(',')[0]}: {in_words(at_three[name])}" for name in others)
    answer = f"""The fewest bits that retain 99% of the facts (lower limit of the interval): {fewest}. At 3 bits, that
    groups of 32 retain more than one scale per output unit is {in_words(at_three[groups])}. More than plain
    rounding in the same groups, at 3 bits: {calibrated}."""
    return Page(
        "answers-bits.md",
        "How few bits? 16 to 2, with and without groups, plain and calibrated",
        answer,
        f"{min(map(_fewest_bits, models)).split()[0]} to {max(map(_fewest_bits, models)).split()[0]} bits",
        text,
    )


def _retained(recipes: Iterable[str], models: Sequence[Subject]) -> str:
    rows = [
        [f"`{recipe}`", *(points(each.retained(recipe), signed=False) for each in models)]
        for recipe in dict.fromkeys(recipes)
        if any(each.retained(recipe) for each in models)
    ]
    return table(["recipe", *(each.label for each in models)], rows)


def _fewest_bits(subject: Subject) -> str:
    for level in (2, 3, 4, 5, 6, 8):
        for name, recipe in BITS.items():
            found = subject.retained(recipe.format(bits=level))
            if found is not None and found.low >= _ENOUGH:
                return f"{level} ({name})"
    return "16"
