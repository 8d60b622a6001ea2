"""Rules that a fact must satisfy."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from fact_sources.exclusions import EXCLUSIONS
from fact_sources.fact import Fact, Relation

# A name that begins as its subject does gives itself away; names of languages follow those of countries closely.
_SAME_BEGINNING = 4
_SAME_BEGINNING_OF = {"country_language": 3, "language_country": 3}


def accepted(relation: Relation) -> list[Fact]:
    """Return the accepted facts of a relation, in the order of the file.

    Facts are ordered by the hashes of their subjects. This is as good as a shuffle, so the first N are a fair sample,
    and adding or removing a fact does not move the others.
    """
    excluded = EXCLUSIONS.get(relation.id, {})
    kept = [
        fact
        for fact in _unambiguous(relation.candidates())
        if fact.subject not in excluded and is_single_word(fact.object) and not _tells(relation, fact)
    ]
    return sorted(kept, key=lambda fact: hashlib.sha256(f"{relation.id}/{fact.subject}".encode()).digest())


def idle_exclusions(relation: Relation) -> list[str]:
    """Return the subjects that are excluded by hand but would be left out anyway."""
    subjects = {fact.subject for fact in relation.candidates()}
    return sorted(set(EXCLUSIONS.get(relation.id, {})) - subjects)


def is_single_word(text: str) -> bool:
    """Return whether a text has only letters and digits; marks that Unicode counts as letters are rejected."""
    return text.isalnum() and not any(unicodedata.category(letter) == "Lm" for letter in text)


def folded(text: str) -> str:
    """Return a text in lower case without marks on its letters."""
    if text.isascii():  # most of the millions of names that are folded are
        return text.lower()
    return "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each)).casefold()


def _unambiguous(facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts whose subject has a single object."""
    objects = defaultdict(set)
    first: dict[str, Fact] = {}
    for fact in facts:
        objects[fact.subject].add(fact.object)
        first.setdefault(fact.subject, fact)
    return [fact for subject, fact in first.items() if len(objects[subject]) == 1]


def _tells(relation: Relation, fact: Fact) -> bool:
    """Return whether the subject gives the answer away."""
    if relation.is_code:
        return fact.object in fact.subject
    answer, subject = folded(fact.object), folded(fact.subject)
    if answer in subject:
        return True
    same = _SAME_BEGINNING_OF.get(relation.id, _SAME_BEGINNING)
    words = [word for word in subject.replace("-", " ").split() if len(word) >= same]
    return any(answer[:same] == word[:same] or word in answer for word in words)
