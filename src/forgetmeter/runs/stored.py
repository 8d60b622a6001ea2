"""Stored parts of a run, as read back: variants, cells, failures, tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from forgetmeter.records.variant import Reached, RoleCount


@dataclass(frozen=True)
class StoredVariant:
    """A variant of the study; ``facts`` is empty until it has been made.

    Attributes:
        id: The variant's id.
        reached: Sparsity and size that the recipe reached; ``None`` if unknown.
        facts: Facts recorded when it was made, such as ``compress_seconds``.
    """

    id: str
    model: str
    recipe: str
    reached: Reached | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredItems:
    """A task's items.

    Attributes:
        path: Path of the items file, relative to the run.
        facts: The task's description, ``items_hash`` and ``rows``, the number of items.
    """

    task: str
    path: str
    facts: Mapping[str, Any]

    @property
    def filters(self) -> Mapping[str, int]:
        """Number of items that the task itself left out, by reason."""
        return _counts(self.facts.get("filters"))

    @property
    def available(self) -> int | None:
        """Number of items without a limit; ``None`` if it is not recorded."""
        official = self.facts.get("official_size")
        if not isinstance(official, int):
            return None
        return max(official - sum(self.filters.values()), int(self.facts.get("rows") or 0))

    @property
    def judged(self) -> tuple[str, str]:
        """The main metric, and the filter of written answers if there is one."""
        return str(self.facts.get("primary_metric") or ""), str(self.facts.get("answer_filter") or "none")


@dataclass(frozen=True, kw_only=True)
class CellFacts:
    """Facts that an executor records with a cell's outcomes; ``StoredCell`` reads them.

    Attributes:
        seconds: Time to score the items.
        tokens: Tokens that the model read, and wrote.
        batches: Batches in which it read them.
        metrics: The task's aggregated metrics by name.
        dropped: Number of items the model could not be scored on, by reason.
        left_out: The first of these items by their ids, as text, by reason.
        cut: Number of items whose context was truncated.
        not_numbers: Number of items whose answers were not numbers.
        items_hash: Hash of the task's items.
        judging: Hash of the task's metrics, filters and groups, by which the answers were judged.
        calibration: SHA-256 of the calibration text, with the settings by which sequences were drawn from it; ``None``
            if the recipe needs none.
        precision: If the cell stopped before the last item, because the drop was known to within plus or minus this,
            or because of the margin, which is then the same.
        margin: If asking was to stop once it was certain whether the drop is at most this, and even if it did not.
        checks: If it stopped because of the margin, the number of cells that are decided together; 0 for any number.
        prepare_seconds: Time to tokenize and batch the items; 0 if this was done for another variant.
        judge_seconds: Time to turn the answers into outcomes.
        positions: Positions that the model computed, padding included; 0 if it wrote texts.
        operations: Floating-point operations in weight matrices that the answers need; ``None`` if not known.
        computed_on: The hardware; ``None`` if another runtime answered.
        timed: Whether ``seconds`` is the time of all of the variant's computation, so that its speed can be compared.
    """

    seconds: float
    tokens: int
    batches: int
    metrics: Mapping[str, float]
    dropped: Mapping[str, int]
    left_out: Mapping[str, str]
    cut: int
    not_numbers: int
    items_hash: str | None
    judging: str | None = None
    calibration: Mapping[str, str | int] | None = None
    precision: float | None = None
    margin: float | None = None
    checks: int | None = None
    prepare_seconds: float = 0.0
    judge_seconds: float = 0.0
    positions: int = 0
    operations: float | None = None
    computed_on: str | None = None
    timed: bool = True


@dataclass(frozen=True)
class StoredCell:
    """A cell that is done.

    Attributes:
        variant: The variant's id.
        path: Path of the outcomes file, relative to the run.
        facts: Recorded facts; the properties below give those that this version knows.
    """

    variant: str
    model: str
    recipe: str
    task: str
    path: str
    facts: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        """Model, recipe and task."""
        return self.model, self.recipe, self.task

    @property
    def rows(self) -> int:
        """Number of outcomes."""
        return int(self.facts["rows"])

    @property
    def is_judged(self) -> bool:
        """Whether the task has right answers; true unless the facts say otherwise."""
        return self.facts.get(JUDGED) is not False

    @property
    def seconds(self) -> float | None:
        """Duration of scoring in seconds."""
        seconds = self.facts.get("seconds")
        return None if seconds is None else float(seconds)

    @property
    def tokens(self) -> int | None:
        """Number of tokens that the model read."""
        tokens = self.facts.get("tokens")
        return None if tokens is None else int(tokens)

    @property
    def metrics(self) -> dict[str, float]:
        """The task's aggregated metrics by name, without those stored as null."""
        stored: Mapping[str, float | None] = self.facts.get("metrics") or {}
        return {name: float(value) for name, value in stored.items() if value is not None}

    @property
    def dropped(self) -> Mapping[str, int]:
        """Number of items that the model could not be scored on, by reason."""
        return _counts(self.facts.get("dropped"))

    @property
    def named(self) -> Mapping[str, str]:
        """Ids of the first dropped items, as text, by reason."""
        stored = self.facts.get("left_out")
        return {str(reason): str(ids) for reason, ids in stored.items()} if isinstance(stored, Mapping) else {}

    @property
    def cut(self) -> int:
        """Number of items whose context was truncated on the left."""
        return int(self.facts.get("cut") or 0)

    @property
    def not_numbers(self) -> int:
        """Number of items whose logits were NaN or infinite."""
        return int(self.facts.get("not_numbers") or 0)

    @property
    def computed_on(self) -> str | None:
        """What computed the answers; ``None`` in runs of versions that did not record it, and for other runtimes."""
        found = self.facts.get("computed_on")
        return None if found is None else str(found)

    @property
    def is_timed(self) -> bool:
        """Whether its speed can be compared with that of other cells."""
        return self.facts.get("timed") is not False

    @property
    def margin(self) -> float | None:
        """Asking was to stop once it was certain whether the drop is at most this; ``None`` without such a rule."""
        margin = self.facts.get("margin")
        return None if margin is None else float(margin)

    @property
    def checks(self) -> int:
        """For how many cells it is certain that the drop is larger than the margin; 0 if it is at most the margin."""
        return int(self.facts.get("checks") or 0)

    @property
    def precision(self) -> float | None:
        """How precisely the drop was to be known when asking stopped; ``None`` if all items were asked."""
        precision = self.facts.get("precision")
        return None if precision is None else float(precision)


JUDGED = "judged"
"""Key of the fact that is false if a cell's outcomes are neither right nor wrong, and missing otherwise."""


@dataclass(frozen=True)
class Failure:
    """A cell that failed; the next run tries it again.

    Attributes:
        variant: The variant's id.
    """

    variant: str
    model: str
    recipe: str
    task: str
    error: str


def reached_document(reached: Reached) -> dict[str, Any]:
    """Return what a recipe did, as stored in a variant's record; the inverse of ``read_reached``."""
    return {**asdict(replace(reached, roles=dict(reached.roles))), "sparsity": reached.sparsity}


def read_reached(stored: object) -> Reached | None:
    """Return what a recipe did, from a variant's record; ``None`` if it is missing or damaged."""
    if not isinstance(stored, Mapping) or not isinstance(stored.get("roles"), Mapping):
        return None
    numbers = {field.name: stored.get(field.name) for field in fields(Reached) if field.name != "roles"}
    # Earlier versions did not record smallest_bytes.
    required = [value for name, value in numbers.items() if name != "smallest_bytes" or value is not None]
    try:
        roles = {str(name): RoleCount(role["weights"], role["zeros"]) for name, role in stored["roles"].items()}
    except (KeyError, TypeError):
        return None
    counts = [*required, *(number for role in roles.values() for number in (role.weights, role.zeros))]
    return Reached(roles, **numbers) if all(isinstance(count, int) for count in counts) else None  # type: ignore[arg-type]


def _counts(stored: Mapping[str, Any] | None) -> dict[str, int]:
    return {str(name): int(number) for name, number in (stored or {}).items() if number}
