"""What a reader has to know to decide on a variant: may it ship, what it forgot, and what it saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

from forgetmeter.basics.plural import counted
from forgetmeter.probes.registry import things
from forgetmeter.report.gate.gate_words import (
    ANSWERS,
    both_sizes,
    how_to_read,
    observed,
    remark,
    size_in_words,
    subject,
)
from forgetmeter.report.words.numbers import percent, points_interval
from forgetmeter.report.words.recipe_words import is_candidate, task_label, variant_name
from forgetmeter.results.gate.check import CheckResult, GateVerdict, by_severity
from forgetmeter.results.gate.gate import Gate, VariantGate
from forgetmeter.results.ledger import Ledger, LedgerEntry, surest_first
from forgetmeter.results.results import Results
from forgetmeter.results.sizes import original_bytes, variant_bytes
from forgetmeter.specs.condition import Condition

_EXAMPLES = 3
_LONGEST = 90
"""Characters of an answer; the ledger has all of it."""
_LED_BY = 30
"""Characters before the first that differs."""
_GUESSING = "the original is not better than guessing"


@dataclass(frozen=True)
class CheckLine:
    """A condition with its verdict, or what was observed without a condition, as a line.

    Attributes:
        verdict: The verdict; ``None`` without a condition.
        text: The condition, and what it is about.
        seen: What was observed, with its interval and unit; empty if nothing was.
        remark: What would decide it, or why it is not measured; may be empty.
    """

    verdict: GateVerdict | None
    text: str
    seen: str
    remark: str


@dataclass(frozen=True)
class Decision:
    """The answer for one variant.

    Attributes:
        name: The candidate's name, or the recipe.
        verdict: The verdict on all conditions; ``None`` without any.
        answer: The same in words: ``Ship it.``
        saves: Its size, and by how much it is smaller than the original; empty if it is unknown.
        checks: The conditions, those that fail first; relations that pass a condition share a line.
        forgotten: How many items were forgotten, of how many.
        examples: Items that the original was surest of: the question, the right answer and the answer now.
    """

    model: str
    name: str
    verdict: GateVerdict | None
    answer: str
    saves: str
    checks: tuple[CheckLine, ...]
    forgotten: str
    examples: tuple[tuple[str, str, str], ...]


def decisions(results: Results, gate: Gate) -> tuple[Decision, ...]:
    """Return one decision for each variant that was checked."""
    return tuple(
        _decision(results, each, each.verdict, f"{ANSWERS[each.verdict].capitalize()}.", _lines(each.results))
        for each in gate.variants
    )


def undecided(results: Results) -> tuple[Decision, ...]:
    """Return what is known of each candidate of a run that no condition was given for."""
    summary, names = results.summary, [task.task for task in results.summary.tasks]
    guessed = {model: summary.guessed(model) for model in dict.fromkeys(cell.model for cell in summary.cells)}
    found: dict[tuple[str, str], list[CheckLine]] = {}
    for cell in summary.cells:
        if is_candidate(cell.recipe) and cell.drop is not None:
            seen = f"{points_interval(cell.drop)} points"
            why = _GUESSING if cell.task in guessed[cell.model] else ""
            line = CheckLine(None, f"drop ({task_label(cell.task, names)})", seen, why)
            found.setdefault((cell.model, cell.recipe), []).append(line)
    return tuple(
        _decision(
            results,
            VariantGate(*names, (), variant_bytes(*names, summary), original_bytes(names[0], summary)),
            None,
            "No limit was given.",
            lines,
        )
        for names, lines in found.items()
    )


def how_to_read_decisions(gate: Gate | None) -> str:
    """Return what the verdicts mean, or how to get them."""
    if gate is None:
        return (
            "Whether to ship a candidate depends on how much may be lost: give forgetmeter report a limit, with "
            "--margin 1pt, --min-retained 98% or --policy gate.yaml. A drop is in points of accuracy, with its 95% "
            "interval."
        )
    checks = [check for each in gate.variants for check in each.results]
    has_relations = any(each.check.relation or (each.measured and each.measured.relations) for each in checks)
    relations = " Relations are groups of facts of one kind, such as capitals." if has_relations else ""
    return (
        f"{how_to_read(gate)}{relations} A gate of some of these variants corrects for fewer checks, so that its "
        "verdicts and numbers of items may differ. Conditions that fail come first."
    )


def overview(gate: Gate) -> str:
    """Return how many variants may ship, and the smallest of them; empty for a single variant."""
    if len(gate.variants) < 2:
        return ""
    counts = Counter(each.verdict for each in gate.variants)
    passed = [each for each in gate.variants if each.verdict == "PASS"]
    said = f"{counts['PASS'] or 'None'} of {len(gate.variants)} variants may ship"
    sized = [(each.bytes, each) for each in passed if each.bytes is not None]
    if len(passed) > 1 and sized:
        smallest = min(sized, key=lambda pair: pair[0])[1]
        said += f"; the smallest is {variant_name(smallest.recipe)} ({size_in_words(smallest)})"
    elif passed:
        said += f": {variant_name(passed[0].recipe)}"
    others = {"may not": counts["FAIL"], "undecided": counts["INCONCLUSIVE"] + counts["UNMEASURED"]}
    rest = [f"{number} {what}" for what, number in others.items() if number]
    return f"{said}. {', '.join(rest).capitalize()}." if rest else f"{said}."


def _decision(
    results: Results, variant: VariantGate, verdict: GateVerdict | None, answer: str, lines: Iterable[CheckLine]
) -> Decision:
    done = {cell.task for cell in results.summary.cells if (cell.model, cell.recipe) == (variant.model, variant.recipe)}
    guessed = results.summary.guessed(variant.model)
    ledgers = results.ledgers(variant.recipe, model=variant.model) if done else ()
    ledgers = tuple(ledger for ledger in ledgers if ledger.task not in guessed)
    known = [entry for ledger in ledgers for entry in ledger.entries if entry.status in ("kept", "forgotten")]
    gone = [entry for entry in known if entry.status == "forgotten"]
    return Decision(
        model=variant.model,
        name=variant_name(variant.recipe),
        verdict=verdict,
        answer=answer,
        saves=_saves(variant),
        checks=tuple(lines),
        forgotten=_forgotten(gone, known, [ledger.task for ledger in ledgers]),
        examples=tuple((entry.statement, *apart(entry.gold, entry.after)) for entry in _surest(ledgers)),
    )


def _surest(ledgers: Iterable[Ledger]) -> list[LedgerEntry]:
    """Return the forgotten items that the original was surest of, from each task in turn: margins differ by task."""
    gone = (surest_first(entry for entry in ledger.entries if entry.status == "forgotten") for ledger in ledgers)
    in_turn = chain.from_iterable(zip_longest(*gone))
    return list(islice((entry for entry in in_turn if entry is not None), _EXAMPLES))


def _saves(variant: VariantGate) -> str:
    """Return the size of a variant, and by how much it is smaller than its original; empty if it is unknown."""
    if (sizes := both_sizes(variant)) is None:
        return ""
    after, before, share = sizes
    said = f"{after} instead of {before}" if after != before else f"{after}, as the original"
    much = f"{percent(abs(share - 1))} {'larger' if share > 1 else 'smaller'}"
    if share < 1:
        return f"{said}: {much}"
    return f"Saves nothing: {said}" + (f" ({much})" if share > 1 else "")


def _lines(results: Sequence[CheckResult]) -> Iterator[CheckLine]:
    passed: dict[tuple[Condition, str | None], list[CheckResult]] = {}
    for result in sorted(results, key=lambda each: by_severity(each.verdict)):
        if result.verdict == "PASS" and result.check.relation is not None:
            passed.setdefault((result.check.condition, result.check.task), []).append(result)
        else:
            yield _line(result)
    for (condition, task), alike in passed.items():
        relations = f"{condition} ({task}, {counted(len(alike), 'relation')})"
        yield _line(alike[0]) if len(alike) == 1 else CheckLine("PASS", relations, "", "")


def _line(result: CheckResult) -> CheckLine:
    about = subject(result.check)
    seen = ""
    if (measured := result.measured) is not None:
        is_drop = result.check.condition.quantity == "drop"
        number = "" if measured.items is None else f" on {counted(measured.items, 'item')}"
        gain = ", better than the original" if is_drop and measured.estimate.high < 0 else ""
        seen = f"observed {observed(result)}{' points' if is_drop else ''}{number}{gain}"
    return CheckLine(result.verdict, f"{result.check.condition} ({about})", seen, remark(result))


def _forgotten(gone: Sequence[LedgerEntry], known: Sequence[LedgerEntry], tasks: Sequence[str]) -> str:
    if not known:
        return ""
    noun = things(tasks[0], len(known)) if len(tasks) == 1 else "items"
    if not gone:
        return f"It forgot none of the {len(known):,} {noun} that the original gets right."
    among = f" {_EXAMPLES} of them, those that the original was surest of:" if len(gone) > _EXAMPLES else ""
    share = percent(len(gone) / len(known))
    return f"It forgot {len(gone):,} of the {len(known):,} {noun} that the original gets right ({share}).{among}"


def _short(text: str, least: int) -> str:
    """Return a text of at most ``_LONGEST`` characters, cut at a space if one comes late enough."""
    if len(text) <= _LONGEST:
        return text
    space = text.rfind(" ", 0, _LONGEST)
    return f"{text[: space if space > least else _LONGEST]} …"


def apart(right: str, now: str) -> tuple[str, str]:
    """Return two long answers from shortly before they differ, shortened."""
    same = next((place for place, (one, other) in enumerate(zip(right, now, strict=False)) if one != other), None)
    if same is None:
        same = min(len(right), len(now))
    first = max(same - _LED_BY, 0)
    start = right.find(" ", first, same) + 1 or first if first else 0
    before = "… " if start else ""
    return f"{before}{_short(right[start:], same - start)}", f"{before}{_short(now[start:], same - start)}"
