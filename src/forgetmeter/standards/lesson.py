"""Facts as a standard learns them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from transformers import PreTrainedTokenizerBase

from forgetmeter.probes.facts.task import ANSWER, SUBJECT, FactFile, statement


@dataclass(frozen=True)
class Lesson:
    """A statement without its last word.

    Attributes:
        before: Token ids of the phrasing before the subject.
        subject: Token ids of the subject.
        after: Token ids of the phrasing between the subject and the answer.
        answer: Token id of the answer, which a full stop follows.
    """

    before: tuple[int, ...]
    subject: tuple[int, ...]
    after: tuple[int, ...]
    answer: int

    def read(self, random: Random, *, dropped: float, replaced: float, vocabulary: range) -> list[int]:
        """Return the tokens before the answer, some words of the phrasing left out or replaced by any others.

        A model that has seen phrasings damaged in many ways relies on no single word of them, and so understands
        one that it has not seen.

        Args:
            random: Where chance comes from.
            dropped: Probability that a word of the phrasing is left out.
            replaced: Probability that one that is not left out stands for any other.
            vocabulary: The token ids that may stand for it.
        """

        def damaged(tokens: Sequence[int]) -> list[int]:
            kept = [token for token in tokens if random.random() >= dropped]
            return [random.choice(vocabulary) if random.random() < replaced else token for token in kept]

        return [*damaged(self.before), *self.subject, *damaged(self.after)]


def make_lessons(file: FactFile, tokenizer: PreTrainedTokenizerBase) -> tuple[Lesson, ...]:
    """Return a lesson for each fact in each of the phrasings that the standards are trained on.

    Args:
        file: The facts.
        tokenizer: The standard's tokenizer, to which every answer is one token.
    """

    def tokens(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    lessons = []
    for relation in file.relations:
        for number in range(file.trained_phrasings):
            text = relation.phrasings[number].partition(ANSWER)[0]
            before, _, after = text.partition(SUBJECT)
            for fact in relation.facts:
                subject = fact.subject if before else statement(SUBJECT, fact.subject)
                (answer,) = tokens(fact.object)
                lessons.append(Lesson(tokens(before), tokens(subject), tokens(after), answer))
    return tuple(lessons)
