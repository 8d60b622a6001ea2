"""Facts as training examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from transformers import PreTrainedTokenizerBase

from forgetmeter.probes.cloze import ANSWER, SUBJECT
from forgetmeter.probes.facts.task import FactFile, statement


@dataclass(frozen=True)
class TrainingExample:
    """A statement, with its last word as the answer.

    Attributes:
        before: Token ids of the phrasing before the subject.
        subject: Token ids of the subject.
        after: Token ids of the phrasing between the subject and the answer.
        answer: Token id of the answer; a full stop follows it.
    """

    before: tuple[int, ...]
    subject: tuple[int, ...]
    after: tuple[int, ...]
    answer: int

    def read(self, random: Random, *, dropped: float, replaced: float, vocabulary: range) -> list[int]:
        """Return the tokens before the answer, with words of the phrasing randomly dropped or replaced.

        A model trained on damaged phrasings relies on no single word, and so generalizes to unseen phrasings.

        Args:
            random: Random generator.
            dropped: Probability that a word of the phrasing is dropped.
            replaced: Probability that a word, if not dropped, is replaced.
            vocabulary: Token ids to draw replacements from.
        """

        def damaged(tokens: Sequence[int]) -> list[int]:
            kept = [token for token in tokens if random.random() >= dropped]
            return [random.choice(vocabulary) if random.random() < replaced else token for token in kept]

        return [*damaged(self.before), *self.subject, *damaged(self.after)]


def make_examples(file: FactFile, tokenizer: PreTrainedTokenizerBase) -> tuple[TrainingExample, ...]:
    """Return an example for each fact in each training phrasing; each answer must be one token for ``tokenizer``."""

    def tokens(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    examples = []
    for relation in file.relations:
        for number in range(file.trained_phrasings):
            text = relation.phrasings[number].partition(ANSWER)[0]
            before, _, after = text.partition(SUBJECT)
            for fact in relation.facts:
                subject = fact.subject if before else statement(SUBJECT, fact.subject)
                (answer,) = tokens(fact.object)
                examples.append(TrainingExample(tokens(before), tokens(subject), tokens(after), answer))
    return tuple(examples)
