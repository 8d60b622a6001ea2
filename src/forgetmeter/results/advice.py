"""Advice on which recipe to take within a size limit, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass

from forgetmeter.records.packed_source import PackedSource
from forgetmeter.results.held_out import HeldOut
from forgetmeter.results.standing import Standing
from forgetmeter.specs.budget import Budget


@dataclass(frozen=True)
class Sized:
    """A recipe and its size.

    Attributes:
        bytes: Size of the weight files that ``forgetmeter compress`` writes; if it cannot write them, size in memory
            with each matrix in its smallest form.
        format: The format in which it writes the fewest bytes; ``None`` if it cannot write the recipe.
        no_format: Why it cannot write the recipe, or empty.
    """

    recipe: str
    bytes: int
    format: str | None
    no_format: str = ""


@dataclass(frozen=True)
class EliminatedRecipe:
    """A recipe that was eliminated before the last round.

    Attributes:
        retained: Mean retained share over the tasks, from 0 to 1.
        items: Number of items that it was evaluated on.
    """

    recipe: str
    retained: float
    items: int


@dataclass(frozen=True)
class Mix:
    """A recipe whose bits differ between parts, compared with the best of the others.

    Attributes:
        recipe: The mix that retains most of the items that were used to choose.
        uniform: The recipe that does so among the others.
        held_out: What both retain of the other items; ``None`` if the baseline knows none of them.
    """

    recipe: str
    uniform: str
    held_out: HeldOut | None

    @property
    def chosen(self) -> str:
        """The mix if it retains more for certain, else the other recipe, which is simpler."""
        is_better = self.held_out is not None and self.held_out.gain.low > 0
        return self.recipe if is_better else self.uniform


@dataclass(frozen=True)
class Advice:
    """The recommended recipe and how it was found.

    Attributes:
        tasks: The tasks it was evaluated on, as text.
        budget: The requested size limit.
        most_bytes: The size limit in bytes.
        dense_bytes: Size of the model's own weight files; for an unpacked model, of its weights as float32.
        finalists: Recipes of the last round, best first.
        sizes: The size of each recipe, by its text.
        left: Eliminated recipes, the last ones first.
        not_counted: Tasks that are not informative, with the reason.
        unusable: Recipes that cannot be applied to this model or that failed, with the reason.
        rounds: Number of items per recipe and number of recipes, for each round.
        runs: Locations of the rounds' runs, in order.
        source: Both sizes of a GGUF file or quantized checkpoint.
        mix: The comparison with a recipe of mixed bits, if it was wanted.
        no_mix: Why there is none although it was wanted.
    """

    model: str
    tasks: tuple[str, ...]
    budget: Budget
    most_bytes: int
    dense_bytes: int
    finalists: tuple[Standing, ...]
    sizes: dict[str, Sized]
    left: tuple[EliminatedRecipe, ...]
    not_counted: tuple[tuple[str, str], ...]
    unusable: tuple[tuple[str, str], ...]
    rounds: tuple[tuple[int, int], ...]
    runs: tuple[str, ...]
    source: PackedSource | None = None
    mix: Mix | None = None
    no_mix: str = ""

    @property
    def best(self) -> Standing:
        """The recommended recipe."""
        chosen = self.finalists[0].recipe if self.mix is None else self.mix.chosen
        return next(standing for standing in self.finalists if standing.recipe == chosen)

    @property
    def best_size(self) -> Sized:
        """Its size and format."""
        return self.sizes[self.best.recipe]

    @property
    def fits(self) -> tuple[Sized, ...]:
        """The recipes within the size limit, in the given order."""
        return tuple(each for each in self.sizes.values() if each.bytes <= self.most_bytes)

    @property
    def too_large(self) -> tuple[Sized, ...]:
        """The recipes beyond the size limit."""
        return tuple(each for each in self.sizes.values() if each.bytes > self.most_bytes)

    @property
    def alike(self) -> tuple[Standing, ...]:
        """Finalists whose retained share is statistically indistinguishable from the best one's, smallest first.

        Empty if a mix is first and not recommended: the others were compared with the mix.
        """
        if self.best is not self.finalists[0]:
            return ()
        found = (each for each in self.finalists if each is not self.best and not each.is_clearly_behind)
        return tuple(sorted(found, key=lambda each: self.sizes[each.recipe].bytes))
