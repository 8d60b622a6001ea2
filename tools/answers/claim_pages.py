"""Pages that compare recipes: the paper's findings, structure, order and bits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from claims import Question, at_equal, at_points, difference, past_half, published, removed, saved, tested
from evidence import Subject
from recipes import BITS, FEW_BITS, ORDERS, STRUCTURES, pruned
from text import (
    LEGEND,
    Page,
    bullets,
    claims_table,
    in_words,
    named,
    paragraph,
    points,
    stacked,
    table,
)

from forgetmeter.basics.plural import joined
from forgetmeter.results.findings import all_findings
from forgetmeter.results.findings.all_findings import overall_verdict
from forgetmeter.results.findings.effect import ClaimTest


def _finding(name: str) -> ClaimTest:
    return next(each for each in all_findings.FINDINGS if each.claim.name == name)


def findings(models: Sequence[Subject]) -> Page:
    """The paper's four findings at equal sparsity, equal removed weights and equal bytes."""
    scopes = {"attention": "attention", "feed-forward": "feed_forward"}
    questions = [
        Question(
            "1. Pruning attention and feed-forward together costs most, at equal sparsity",
            published(_finding("overall_hurts_most")),
        ),
        *(
            Question(
                f"1. Pruning both costs more than {name} alone, at equal {amount}",
                at_equal(pruned(scope), pruned("overall"), of),
            )
            for amount, of in (("numbers of removed weights", removed), ("bytes saved", saved))
            for name, scope in scopes.items()
        ),
        Question(
            "2. Past 50%, each further 10% of sparsity costs more than up to 50%: mean over the three below",
            published(_finding("rapid_fall_past_half")),
        ),
        *(
            Question(f"2. The same with {name} pruned", past_half(scope))
            for name, scope in (*scopes.items(), ("both", "overall"))
        ),
        Question(
            "3. Quantizing attention to 8 bits (dynamic) costs less than quantizing feed-forward",
            difference([("dynamic_int8:attention", "dynamic_int8:feed_forward")]),
        ),
        Question(
            "3. The same for weights rounded to 4, 3 and 2 bits",
            difference([(f"round_to_nearest:attention:{b}", f"round_to_nearest:feed_forward:{b}") for b in (4, 3, 2)]),
        ),
        Question(
            "4. Pruning whole rows of the final layer costs more than single weights, at equal sparsity",
            published(_finding("structured_final_layer_worse")),
        ),
    ]
    rows = tested(questions, models)
    first, *equal, second, _, _, with_both, third, few, fourth = map(in_words, rows)
    text = stacked(
        paragraph(
            """Each number is a difference in the share of the known facts that is retained, in points; above zero, the
            finding holds. In finding 2, it is the loss per 10% of sparsity from 50% to 90%, minus that up to 50%."""
        ),
        claims_table(rows, "finding"),
        LEGEND,
        "## What it shows",
        bullets(
            f"""**1** is {first} at equal sparsity, at which pruning both removes the weights of both. At equal numbers
            of removed weights, that pruning both costs more than pruning attention alone is {equal[0]}, and that it
            costs more than pruning feed-forward alone is {equal[1]}. At equal bytes, the first is {equal[2]}, and the
            second is {equal[3]}. These are means over ten amounts, up to 90% of
            the part that is pruned alone. Little of that is surprising: a threshold over more weights finds more small
            ones. The difference is largest at high sparsity.""",
            f"""**2**, as a mean over the three scopes, is {second}. With both pruned, it is {with_both}: where it does
            not hold, most of what can be lost is lost by 50%.""",
            f"""**3** is {third} with 8 bits, which cost the standards next to nothing. With 4 to 2 bits, it is {few}.
            Equal bytes cannot be compared: the two parts differ in size, and no two of these recipes save the same.""",
            f"""**4** is {fourth}, as a mean over pruning by L1 norm and at random. Each answer has its own row in the
            final layer. A layer that is tied to the embedding is stored beside it once it is pruned, which saves no
            bytes, so equal bytes cannot be compared.""",
        ),
    )
    answer = f"""1, pruning both costs most: {first} at equal sparsity; at equal numbers of removed weights, that it
        costs more than attention alone is {equal[0]}, and that it costs more than feed-forward alone is {equal[1]}. 2,
        rapid fall past 50%: {second}. 3,
    attention is cheaper to quantize: {third} with 8 bits, {few} with 4 to 2. 4, rows of the final layer cost more than
    single weights: {fourth}."""
    return Page("answers-findings.md", "Do the paper's four findings hold?", answer, "in part", text)


def structure(models: Sequence[Subject]) -> Page:
    """Q2: heads, layers, rows, N:M and rank against single weights at equal bytes."""
    rows = tested(
        [Question(name, at_points(recipes, pruned(scope), saved)) for name, (scope, recipes) in STRUCTURES.items()],
        models,
    )
    worse = [row[0].sentence for row in rows if all(each.verdict == "supported" for each in row if each.effect)]
    better = [row[0].sentence for row in rows if any(each.verdict == "contradicted" for each in row)]
    others = [row for row in rows if row[0].sentence not in (*worse, *better)]
    answer = (
        f"At equal bytes, removing single weights retains more than removing {joined(worse)}, in every model where it "
        "was tested. "
        if worse
        else ""
    )
    for row in others:
        answer += f"That it retains more than removing {row[0].sentence} is {in_words(row)}. "
    answer += (
        f"In at least one model, removing {joined(better)} retains more than removing single weights." if better else ""
    )
    text = stacked(
        paragraph(
            """Facts retained after pruning single weights by magnitude, minus facts retained after removing a
            structure, at the same bytes saved; the mean over the levels below, in points. Levels that save more than
            pruning 90% of single weights does, or nothing at all (a quarter of the rank), are left out. The curve of
            single weights is interpolated between sparsities 10 points apart. Pruned single weights are assumed to be
            stored with a bitmask, which takes 1/32 of the bytes of float32 weights. Speed, the usual reason for
            removing structures, is not compared. *Rows of each matrix* are single output units, without the columns of
            the next matrix that read them; *random* uses one seed. The claim that is tested: at equal bytes, single
            weights retain more."""
        ),
        claims_table(rows, "advantage of single weights over"),
        LEGEND,
        "## Retained, in percent",
        _retained((recipe for _, recipes in STRUCTURES.values() for recipe in recipes), models),
    )
    verdict = "single weights" if worse and not better else "depends on the structure"
    return Page(
        "answers-structure.md",
        "Q2: heads, layers, rows, N:M and rank against single weights, at equal bytes",
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
    ]
    rows = tested(questions, models)
    single = tested([Question("", difference([pair])) for pair in ORDERS], models)
    largest = max((abs(each.effect.value) for row in single for each in row if each.effect), default=0.0)
    text = stacked(
        paragraph(
            """Facts retained with the first order minus facts retained with the other, at the same levels, in points.
            After rounding, many weights have the same magnitude, so which of them are pruned (40% of all) is arbitrary.
            Pruning half of these (20% of all) before rounding and the other half afterwards gives the same weights as
            rounding first: the
            smallest are pruned either way, and the largest weights set the scale."""
        ),
        claims_table(rows, "order"),
        LEGEND,
        "## Retained, in percent",
        _retained((recipe for each in (*ORDERS, *FEW_BITS) for recipe in each), models),
    )
    answer = f"""With 8 bits, the order changes what the standards retain by at most {100 * largest:.1f} points. That
    pruning 40% before rounding retains more is {in_words(rows[1])} with 4 bits, and {in_words(rows[2])} with 3."""
    verdict = (
        "prune first, at 3 bits"
        if overall_verdict([each.verdict for each in rows[2]]) == "supported"
        else "depends on the model"
    )
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
    hqq, four = BITS["HQQ, groups of 32"].format(bits=3), BITS[plain].format(bits=4)
    questions.append(
        Question("HQQ with 3 bits in groups of 32 rather than plain rounding to 4 bits", difference([(hqq, four)]))
    )
    rows = tested(questions, models)
    at_three = dict(zip([better for better, _ in pairs], rows[len(pairs) :], strict=False))
    recipes = ["cast:overall:dtype=bfloat16"]
    recipes += [BITS[name].format(bits=level) for level in (8, 6, 5) for name in (plain, groups)]
    recipes += [recipe.format(bits=level) for level in (4, 3, 2) for recipe in BITS.values()]
    sizes = models[0].bits_per_weight
    text = stacked(
        paragraph(
            f"""Attention and feed-forward in fewer bits; the embeddings (more than half of each standard) and the final
            layer stay as they are. *Bits* are those per weight of the {models[0].label}, with scales and zero points in
            float32: groups of 32 add one bit for the scale and, for HQQ, another for the zero point; AWQ's scales of
            the input units add 0.4. *Plain* is `round_to_nearest`; *clipped* is the same with `clip=mse`, which chooses
            the scale with the least squared error. GPTQ and AWQ are calibrated on 128 of the facts that are asked. In
            SmolLM2, they were measured in [another study](calibrated.md). HQQ with 4 bits in groups of 32 would lose
            nothing there: the file that SmolLM2 is read from is quantized in the same way (Q4_1), so that says nothing
            about the method."""
        ),
        "## Retained, in percent",
        table(
            ["recipe", "bits", *(each.label for each in models)],
            [
                [
                    f"`{recipe}`",
                    f"{sizes[recipe]:.1f}",
                    *(points(each.retained(recipe), signed=False) for each in models),
                ]
                for recipe in recipes
                if recipe in sizes
            ],
        ),
        "## Differences, in points",
        paragraph(
            """Facts retained with the first method minus facts retained with the second. The claim that is tested: the
            first retains more."""
        ),
        claims_table(rows, "what is compared"),
        LEGEND,
    )
    calibrated = "; ".join(f"for {name.partition(',')[0]}, {in_words(at_three[name])}" for name in others)
    five = {each.label: each.retained(BITS[plain].format(bits=5)) for each in models}
    kept = [f"{100 * found.value:.1f}% in {named([label])}" for label, found in five.items() if found]
    answer = f"At 5 bits with one scale per output unit, {joined(kept)} are retained. " if kept else ""
    answer += f"""At 3 bits, that groups of 32 retain more
        than one scale per output unit is {in_words(at_three[groups])}. Whether a method retains more than plain
        rounding in the same groups: {calibrated}. But HQQ's files are larger, as it also stores zero points: that HQQ
        with 3 bits in groups of 32 retains more than plain rounding to 4 bits with one scale per output unit, which
        takes fewer bytes, is {in_words(rows[-1])}."""
    return Page(
        "answers-bits.md",
        "How few bits? 16 to 2, with and without groups, plain and calibrated",
        answer,
        "4 bits, rather than 3 in groups",
        text,
    )


def _retained(recipes: Iterable[str], models: Sequence[Subject]) -> str:
    rows = [
        [f"`{recipe}`", *(points(each.retained(recipe), signed=False) for each in models)]
        for recipe in dict.fromkeys(recipes)
        if any(each.retained(recipe) for each in models)
    ]
    return table(["recipe", *(each.label for each in models)], rows)
