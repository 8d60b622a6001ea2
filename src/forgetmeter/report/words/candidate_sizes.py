"""Sizes of candidates' weight files, and of the model they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from forgetmeter.basics.plural import megabytes
from forgetmeter.report.words.numbers import percent
from forgetmeter.report.words.recipe_words import candidate_of, is_candidate
from forgetmeter.results.summary import Summary
from forgetmeter.specs.recipe import BASELINE


@dataclass(frozen=True)
class Size:
    """Size of a candidate's weight files.

    Attributes:
        bytes: Their size.
        original: Size of the original's weight files; ``None`` if it is unknown.
    """

    bytes: int
    original: int | None

    @property
    def share(self) -> str | None:
        """The size as a share of the original's, as a percentage."""
        return percent(self.bytes / self.original) if self.original else None

    @property
    def in_words(self) -> str:
        """The size and its share, such as ``0.727 MB, 66.2% of the original's files``."""
        (stored,) = megabytes([self.bytes])
        return f"{stored} MB" + (f", {self.share} of the original" if self.share else "")


def candidate_sizes(model: str, summary: Summary) -> Mapping[str, Size]:
    """Return the sizes of a model's candidates by name, without those that are unknown, as an engine's are."""
    sources = summary.study.sources
    mine = [each for each in summary.variants if each.model == model]
    dense = {each.recipe: each.dense_bytes for each in mine}
    original = sources[model].bytes if model in sources else dense.get(BASELINE)
    smallest = {candidate_of(each.recipe): each.smallest_bytes for each in mine if is_candidate(each.recipe)}
    names = [name for each in mine if (name := candidate_of(each.recipe)) is not None]
    found = {name: sources[name].bytes if name in sources else smallest.get(name) for name in names}
    return {name: Size(size, original) for name, size in found.items() if size is not None}
