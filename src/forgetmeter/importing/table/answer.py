"""An answer in a table, and checks of the places of right answers among the log-likelihoods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forgetmeter.basics.plural import counted
from forgetmeter.importing.table.values import is_integer, place_in
from forgetmeter.probes.from_file.rows import FileRow, whole_number
from forgetmeter.records.item import ClozeAnswer


@dataclass(frozen=True)
class GivenAnswer:
    """One row, read."""

    row: FileRow
    correct: bool
    prediction: str
    gold: str
    relation: str
    question: str
    loglikelihoods: tuple[float, ...]

    @property
    def is_number(self) -> bool:
        """Whether its log-likelihoods, if there are any, are an answer."""
        return not self.loglikelihoods or ClozeAnswer(self.loglikelihoods).is_number

    @property
    def place(self) -> int | None:
        """The place of the right answer among its log-likelihoods, if the table gives one."""
        return place_in(self.gold, len(self.loglikelihoods))

    def prefers(self, place: int) -> bool:
        """Whether a choice is the likeliest, or the first of them."""
        return self.loglikelihoods.index(max(self.loglikelihoods)) == place


def refuse_counting_from_1(answers: Iterable[GivenAnswer]) -> None:
    """Refuse indices of right answers that seem to be 1-based, which would give wrong ranks.

    Raises:
        UserError: What is right follows from all places less one, but not from the places themselves.
    """
    placed = [(each, place) for each in answers if each.is_number and (place := whole_number(each.gold)) is not None]
    shifted = [(each, place) for each, place in placed if each.loglikelihoods and place]
    if len(shifted) < len(placed) or all(each.prefers(place) == each.correct for each, place in shifted):
        return
    if all(each.prefers(place - 1) == each.correct for each, place in shifted):
        first, place = shifted[0]
        raise first.row.wrong(
            f"the index of the right answer is {place}, but the column that says whether answers are right "
            "agrees with the log-likelihoods only if indices start at 1; number them from 0"
        )


def refuse_no_place(answers: Sequence[GivenAnswer], column: str | None) -> None:
    """Refuse a right answer that is not an index of the log-likelihoods, in a task where right answers are indices.

    Raises:
        UserError: There is one.
    """
    given = [each for each in answers if each.loglikelihoods and each.gold]
    other = next((each for each in given if each.place is None), None)
    place = next((each for each in given if each.place is not None), None)
    if other is None or (place is None and not all(is_integer(each.gold) for each in given)):
        return
    number = len(other.loglikelihoods)
    also = "" if place is None else f", unlike {place.gold} in {place.row.place}"
    raise other.row.wrong(
        f"'{column}' is '{other.gold[:60]}', which is not an index of its {counted(number, 'log-likelihood')}"
        f"{also} (allowed: 0 to {number - 1}); write indices throughout, or leave out --loglikelihoods or --gold"
    )
