"""Small made-up runs for the report, whose texts are as bad as a data set's may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from made_up_run import RunBuilder

from forgetmeter.records.item import Cloze, Item
from forgetmeter.records.outcome import Outcome
from forgetmeter.records.variant import Reached, RoleCount

MODEL = "org/tiny"
TASK = "lama/trex"
HALF, MOST, INT8 = "l1_unstructured:overall:0.5", "l1_unstructured:overall:0.9", "dynamic_int8:overall"
RECIPES = ("baseline", HALF, MOST, INT8)
SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
ENDING = '</script><!-- "quoted" & \u2028'
RELATION = 'born <b>in</b> & "of"'

Right = Mapping[str, Sequence[bool]]


def write_hostile_run(
    location: str,
    right: Right,
    *,
    model: str = MODEL,
    task: str = TASK,
    failed: Mapping[str, str] | None = None,
    recipes: Sequence[str] = RECIPES,
    words: str = SCRIPT,
    phrasings: int = 1,
) -> str:
    """Write a run of one task, with each recipe's right answers, return where; ``phrasings`` items ask each fact."""
    run = RunBuilder(location, models=[model], recipes=recipes, tasks=[task], versions={"torch": "<i>1</i>"})
    number = max((len(answers) for answers in right.values()), default=0)
    if number:
        run.items(task, items(task, number, words, phrasings), source=f"by hand {ENDING}")
    for recipe, answers in right.items():
        outcomes = [outcome(task, place, answer) for place, answer in enumerate(answers)]
        share = sum(answers) / max(len(answers), 1)
        run.outcomes(recipe, task, outcomes, seconds=1.0, metrics={"p_at_1": share})
        zeros = 0 if recipe in ("baseline", INT8) else round(20 * float(recipe.rpartition(":")[2]))
        sizes = (80, 80 - 3 * zeros, 20 if recipe == INT8 else 80)
        run.reached(
            recipe, Reached({"attention.query": RoleCount(20, zeros)}, 20, zeros, zeros, *sizes, simulated=False)
        )
    for recipe, error in (failed or {}).items():
        run.failure(recipe, task, error)
    return location


def items(task: str, number: int, words: str, phrasings: int) -> list[Item]:
    return [
        Item(
            f"{task}/{place}",
            f"{task}{place}",
            Cloze(f"{words} {place} was born in ", f" {ENDING}.", "candidates"),
            tuple(f"city {each}" for each in range(8)),
            (place % 8,),
            _fields(place, phrasings),
        )
        for place in range(number)
    ]


def _fields(place: int, phrasings: int) -> dict[str, str]:
    fact = place // phrasings
    fields = {"relation": f"P{fact % 2}", "relation_label": f"{RELATION} {fact % 2}", "subject": f"thing {fact}"}
    return fields | ({"template": str(place % phrasings)} if phrasings > 1 else {})


def outcome(task: str, place: int, correct: bool) -> Outcome:
    gold, wrong = f"city {place % 8}", f"{SCRIPT} {place}"
    return Outcome(
        item_id=f"{task}/{place}",
        correct=correct,
        prediction=gold if correct else wrong,
        gold=gold,
        rank=1 if correct else 2 + place % 6,
        margin=0.25 + place if correct else -0.5 - place,
        loglikelihoods=tuple(-1.0 - abs(each - place % 8) for each in range(8)),
        metrics={"p_at_1": float(correct)},
    )
