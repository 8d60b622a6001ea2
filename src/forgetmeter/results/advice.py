"""The advice: which recipe to take within a number of bytes, and what speaks for it."""

from __future__ import annotations

from dataclasses import dataclass

from forgetmeter.results.standing import Standing
from forgetmeter.specs.budget import Budget


@dataclass(frozen=True)
class Sized:
    """A candidate and what it takes.

    Attributes:
        recipe: The recipe, as text.
        bytes: Of the files of weights that ``forgetmeter compress`` writes; of what it cannot write, in memory, each
            matrix in the smallest of the ways in which it can be held.
        format: The format in which it writes the fewest bytes; ``None`` where it cannot.
        no_format: Why it cannot; empty where it can.
    """

    recipe: str
    bytes: int
    format: str | None
    no_format: str = ""


@dataclass(frozen=True)
class Left:
    """A candidate that was left behind before the last round.

    Attributes:
        recipe: The recipe, as text.
        retained: Mean over the tasks of what it retained, from 0 to 1.
        items: On how many items.
    """

    recipe: str
    retained: float
    items: int


@dataclass(frozen=True)
class Advice:
    """What was found out.

    Attributes:
        model: The model, as text.
        tasks: What it was asked, as text.
        budget: As it was asked for.
        most_bytes: The same in bytes.
        dense_bytes: Of the model's own files of weights; of a GGUF file, once it is dequantized to float32.
        finalists: Those that were asked everything, best first.
        sizes: Of all candidates, by recipe.
        left: Those that were left behind, the last ones first.
        not_counted: Tasks that say nothing, with the reason.
        unusable: Candidates that this model cannot take or that failed, with the reason.
        rounds: How many items each candidate was asked in each round, and how many candidates there were.
        runs: Where the runs of the rounds are, the last one last.
    """

    model: str
    tasks: tuple[str, ...]
    budget: Budget
    most_bytes: int
    dense_bytes: int
    finalists: tuple[Standing, ...]
    sizes: dict[str, Sized]
    left: tuple[Left, ...]
    not_counted: tuple[tuple[str, str], ...]
    unusable: tuple[tuple[str, str], ...]
    rounds: tuple[tuple[int, int], ...]
    runs: tuple[str, ...]

    @property
    def best(self) -> Standing:
        """The recipe to take."""
        return self.finalists[0]

    @property
    def best_size(self) -> Sized:
        """What it takes, and how it is written."""
        return self.sizes[self.best.recipe]

    @property
    def fits(self) -> tuple[Sized, ...]:
        """The candidates within the budget, in the order in which they were given."""
        return tuple(each for each in self.sizes.values() if each.bytes <= self.most_bytes)

    @property
    def too_large(self) -> tuple[Sized, ...]:
        """The others."""
        return tuple(each for each in self.sizes.values() if each.bytes > self.most_bytes)

    @property
    def alike(self) -> tuple[Standing, ...]:
        """Finalists that cannot be told from the best by what they retain, the smallest first."""
        found = (each for each in self.finalists[1:] if not each.is_clearly_behind)
        return tuple(sorted(found, key=lambda each: self.sizes[each.recipe].bytes))
