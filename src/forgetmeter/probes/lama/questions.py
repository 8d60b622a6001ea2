"""Questions from LAMA's files: sentences with one blank each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from forgetmeter.errors import UserError
from forgetmeter.probes.by_relation import RelationCounts
from forgetmeter.probes.cloze import whole_hash
from forgetmeter.probes.json_lines import JsonLine, read_json_lines
from forgetmeter.probes.lama.relations import BLANK, LAMA, SUBJECT, AskedBy, LamaRelation

INCOMPLETE = "incomplete fact"
REPEATED = "repeated fact"
NO_EVIDENCE = "no evidence"
NOT_ONE_BLANK = "not one blank"

_FILTERS: dict[AskedBy, tuple[str, ...]] = {
    "template": (INCOMPLETE, REPEATED),
    "evidences": (INCOMPLETE, NO_EVIDENCE, NOT_ONE_BLANK),
    "masked_sentences": (INCOMPLETE, NOT_ONE_BLANK),
}


class LamaQuestion(NamedTuple):
    """A fact as a text with one blank.

    Attributes:
        place: Index of the fact in its file and, for evidence, of the sentence: ``3`` or ``3/0``.
        object: The fact's object, which fills the blank.
        uuid: The fact's identifier; empty if it has none.
        sentence: The text, with exactly one ``[MASK]``.
    """

    place: str
    subject: str
    object: str
    uuid: str
    sentence: str


@dataclass(frozen=True)
class RelationQuestions:
    """The contents of a relation's file.

    Attributes:
        questions: Questions that pass the filters, in order.
        objects: The distinct objects of all its facts, in order of first appearance.
        counts: Numbers of questions read and dropped.
    """

    relation: LamaRelation
    questions: tuple[LamaQuestion, ...]
    objects: tuple[str, ...]
    counts: RelationCounts

    @cached_property
    def object_places(self) -> dict[str, int]:
        """Index of each object."""
        return {each: place for place, each in enumerate(self.objects)}

    @cached_property
    def objects_hash(self) -> str:
        """SHA-256 of the objects, cached because all items share them."""
        return whole_hash(self.objects)


def read_questions(relation: LamaRelation) -> RelationQuestions:
    """Read a relation's file.

    As in LAMA's ``scripts/batch_eval_KB_completion.py``, facts without a subject or an object are dropped, templates
    skip repeated pairs of subject and object, and the masked sentences of one fact are joined. LAMA scores the
    first of several blanks and leaves the others in the text; here, questions with several blanks are dropped, because
    models without a mask token cannot read them. LAMA's filters for sentences of more than 100 words and for
    facts that most raters rejected are left out: they drop nothing from the published files.

    Raises:
        UserError: The file cannot be read or is damaged.
    """
    questions: list[LamaQuestion] = []
    objects: dict[str, None] = {}
    dropped = dict.fromkeys(_FILTERS[relation.asked_by], 0)
    facts: set[tuple[str, str]] = set()
    for line in read_json_lines(relation.path, fix=LAMA.fetch_again):
        if line.optional_text("predicate_id") not in ("", relation.name):
            raise line.wrong(f"its predicate_id is {line.text('predicate_id')}, not {relation.name}")
        subject, answer = _pair(line, relation)
        if answer.strip():
            objects[answer] = None
        reason = _reason_against(relation, (subject, answer), facts)
        if reason is None and not (asked := _sentences(line, relation, subject)):
            reason = NO_EVIDENCE
        if reason is not None:
            dropped[reason] += 1
            continue
        uuid = line.optional_text("uuid")
        for place, sentence in asked:
            if sentence.count(BLANK) == 1:
                questions.append(LamaQuestion(place, subject, answer, uuid, sentence))
            else:
                dropped[NOT_ONE_BLANK] = dropped.get(NOT_ONE_BLANK, 0) + 1
    counts = RelationCounts(
        relation.name, relation.label, relation.prompt, len(questions) + sum(dropped.values()), dropped
    )
    return RelationQuestions(relation, tuple(questions), tuple(objects), counts)


def check_evidence(read: RelationQuestions) -> None:
    """Check that an explicitly requested relation has evidence to ask by.

    Raises:
        UserError: None of its facts has evidence.
    """
    if read.relation.asked_by == "evidences" and not read.questions:
        raise UserError(
            f"relation {read.relation.name} of lama/trex cannot be used with source=evidence: no fact in "
            f"'{read.relation.path}' has evidence with one blank; use source=template, or leave the relation out"
        )


def _pair(line: JsonLine, relation: LamaRelation) -> tuple[str, str]:
    subjects = (line.optional_text(key) for key in relation.subject_keys)
    return next((subject for subject in subjects if subject.strip()), ""), line.optional_text("obj_label")


def _reason_against(relation: LamaRelation, fact: tuple[str, str], facts: set[tuple[str, str]]) -> str | None:
    """Return why a fact is dropped, or ``None``; adds it to ``facts``."""
    if not all(part.strip() for part in fact):
        return INCOMPLETE
    if relation.asked_by == "template":
        if fact in facts:
            return REPEATED
        facts.add(fact)
    return None


def _sentences(line: JsonLine, relation: LamaRelation, subject: str) -> list[tuple[str, str]]:
    """Return the sentences that ask for a fact, each as ``(place, sentence)``."""
    place = str(line.index)
    if relation.asked_by == "template":
        return [(place, relation.template.replace(SUBJECT, subject.strip()))]
    if relation.asked_by == "masked_sentences":
        return [(place, " ".join(line.texts("masked_sentences")))]
    return [(f"{place}/{number}", sentence) for number, sentence in enumerate(_evidence(line))]


def _evidence(line: JsonLine) -> Iterator[str]:
    for number, each in enumerate(line.objects("evidences")):
        sentence = each.get("masked_sentence")
        if not isinstance(sentence, str):
            raise line.wrong(f"'masked_sentence' of evidence {number} is missing or not text")
        yield sentence
