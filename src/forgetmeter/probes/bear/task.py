"""BEAR as a task: whole statements, ranked by their likelihood."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from forgetmeter.probes.bear.relations import ANSWER, BEAR, SUBJECT, BearRelation, bear_relations
from forgetmeter.probes.by_relation import RELATIONS, TEMPLATES, RelationCounts, template_judgement
from forgetmeter.probes.cloze import ACCURACY, candidates_outcome, capitalized, content_hash, whole_hash
from forgetmeter.probes.declaration import TaskDeclaration
from forgetmeter.probes.json_lines import JsonLine, read_json_lines
from forgetmeter.records.item import Answer, Cloze, Item, TaskDescription
from forgetmeter.records.outcome import Judgement
from forgetmeter.specs.task_name import TaskName

_VERSION = "1"
_SOURCE = "BEAR (Wiland et al. 2024), github.com/lm-pub-quiz/BEAR"


class BearTask:
    """BEAR: for each fact and template, which of the relation's answers makes the likeliest statement.

    Statements are those that lm-pub-quiz makes: their first letter is a capital.

    Args:
        name: The task with its options.
        limit: Only the first so many items of each relation; ``None`` for all.
        data: The data folder; by default as ``data_folder`` finds it.

    Attributes:
        description: What the task is.
        items: The items, relation by relation, fact by fact, template by template.
        relations: What was read of each relation.

    Raises:
        UserError: The data is not there or damaged, or does not hold what the options ask for.
    """

    def __init__(self, name: TaskName, *, limit: int | None = None, data: Path | None = None) -> None:
        items: list[Item] = []
        counts = []
        for relation in bear_relations(name, BEAR.found(data)):
            asking = _Asking(relation)
            facts = [asking.fact(line) for line in read_json_lines(relation.path, mend=BEAR.fetch_again)]
            prompt = " / ".join(relation.templates.values())
            counts.append(RelationCounts(relation.name, "", prompt, len(facts) * len(relation.templates), {}))
            items.extend(islice(asking.items(facts), limit))
        self.items = tuple(items)
        self.relations = tuple(counts)
        self.description = TaskDescription(
            name=str(name),
            version=_VERSION,
            source=_SOURCE,
            primary_metric=ACCURACY,
            official_size=sum(each.read for each in counts),
        )

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Judge the answered items: right where the right answer makes the first of the likeliest statements.

        ``accuracy`` is the mean over all facts and templates, which is what lm-pub-quiz's
        ``DatasetResults.get_metrics`` gives (it weights each relation by its number of items), and, as each fact is
        asked by every template, also the mean of the templates' accuracies. ``accuracy_macro`` is the mean over
        relations, and ``accuracy_template_0`` and so on are those of one template each.
        """
        outcomes = []
        for item, given in zip(self.items, answers, strict=True):
            if given is not None:
                outcomes.append((item, candidates_outcome(item, given)))
        return template_judgement(outcomes, ACCURACY)


class _Asking:
    """Makes the items of a relation."""

    def __init__(self, relation: BearRelation) -> None:
        self._relation = relation
        with_capitals = tuple(map(capitalized, relation.answers))
        # The answers are hashed once, not anew for each item.
        self._plain = relation.answers, whole_hash(relation.answers)
        self._capitalized = with_capitals, whole_hash(with_capitals)

    def fact(self, line: JsonLine) -> tuple[int, str, int]:
        """Return a fact's index, subject, and the place of its object among the answers."""
        # lm-pub-quiz, too, takes the place from the object's identifier where it is not given.
        place = line.record.get("answer_idx")
        if place is None and line.record.get("obj_id") in self._relation.answer_ids:
            place = self._relation.answer_ids.index(line.text("obj_id"))
        if not isinstance(place, int) or isinstance(place, bool):
            raise line.wrong_type("answer_idx", int)
        if not 0 <= place < len(self._relation.answers):
            raise line.wrong(f"answer_idx {place} is outside the {len(self._relation.answers)} answers of its relation")
        return line.index, line.text("sub_label"), place

    def items(self, facts: Sequence[tuple[int, str, int]]) -> Iterator[Item]:
        """Yield an item for each fact and template."""
        for index, subject, place in facts:
            for number, template in self._relation.templates.items():
                yield self._item(
                    f"{self._relation.name}/{index}", number, self._cloze(template, subject), subject, place
                )

    def _cloze(self, template: str, subject: str) -> Cloze:
        before, after = (part.replace(SUBJECT, subject) for part in template.split(ANSWER))
        return Cloze(capitalized(before), after, "candidates")

    def _item(self, fact: str, template: int, cloze: Cloze, subject: str, place: int) -> Item:
        # What begins with the answer has the answer's first letter as its capital.
        choices, choices_hash = self._plain if cloze.before else self._capitalized
        return Item(
            id=f"bear/{fact}/{template}",
            content_hash=content_hash([cloze.before, cloze.after, choices_hash, str(place)]),
            asks=cloze,
            choices=choices,
            gold=(place,),
            fields={
                "relation": self._relation.name,
                "subject": subject,
                "object": self._relation.answers[place],
                "template": str(template),
                "fact": fact,
            },
        )


def _check(name: TaskName, *, data: Path | None) -> None:
    bear_relations(name, BEAR.found(data))


TASK = TaskDeclaration(
    name="bear",
    load=BearTask,
    check=_check,
    options={"relations": RELATIONS, "templates": TEMPLATES},
    thing="fact",
    phrasings="templates",
    groups=("relation",),
    data=BEAR,
)
