"""Sizes of candidates' weight files, and of the model they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from forgetmeter.basics.plural import megabytes
from forgetmeter.report.words.numbers import percent
from forgetmeter.report.words.recipe_words import candidate_of
from forgetmeter.results.sizes import original_bytes, variant_bytes
from forgetmeter.results.summary import Summary
from forgetmeter.specs.recipe import candidate_recipe


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
    original = original_bytes(model, summary)
    names = (candidate_of(each.recipe) for each in summary.variants if each.model == model)
    found = {name: variant_bytes(model, candidate_recipe(name), summary) for name in names if name is not None}
    return {name: Size(size, original) for name, size in found.items() if size is not None}
