"""Policies: files of conditions that a gate checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from forgetmeter.basics.visible_text import visible_line
from forgetmeter.errors import ManyUserError, UserError, refuse, refusing_unreadable
from forgetmeter.specs.budget import shortened
from forgetmeter.specs.condition import EXTENTS, QUANTITIES, STATISTICS, Condition, Quantity, parse_limit
from forgetmeter.specs.suggestion import unknown
from forgetmeter.specs.yaml_lines import YamlWithLines, read_yaml

VERSION = 1
_KEYS = ("version", "conditions")
_WITHOUT_TASKS: tuple[Quantity, ...] = ("divergence", "agreement", "size")
"""Quantities to which the tasks that are given as an option do not apply."""


@dataclass(frozen=True)
class Policy:
    """Conditions, all of which a variant must meet.

    Attributes:
        conditions: At least one.
        digest: SHA-256 of the policy file; ``None`` if the conditions were given as options.
    """

    conditions: tuple[Condition, ...]
    digest: str | None = None


def policy_from_options(limits: Mapping[Quantity, object], *, tasks: Iterable[str] = ()) -> Policy:
    """Return the policy that options ask for, one condition each.

    Args:
        limits: Limit of each quantity, as text or a number.
        tasks: The tasks they hold for; none for all.

    Raises:
        UserError: A limit is not valid, or no limit applies to the tasks; several errors together.
    """
    problems, conditions, names = [], [], tuple(tasks)
    if names and not limits.keys() - {*_WITHOUT_TASKS}:
        problems.append("--tasks needs --margin, --min-retained or --min-accuracy, and would have no effect here")
    for quantity, value in limits.items():
        option = "--margin" if quantity == "drop" else f"--{_bound(quantity)}-{quantity}"
        try:
            limit = parse_limit(quantity, value)
        except UserError as error:
            problems.append(f"{option}: {error}")
        else:
            of = () if quantity in _WITHOUT_TASKS else names
            conditions.append(Condition(quantity, limit, of, source=option))
    refuse(problems)
    return Policy(tuple(conditions))


def read_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        UserError: The file cannot be read.
        ManyUserError: The policy is not valid; each error has its line.
    """
    with refusing_unreadable(f"policy file '{path}'"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise UserError(f"policy file '{path}' does not exist; check the path") from None
        except IsADirectoryError:
            raise UserError(f"'{path}' is a folder, not a policy file") from None
        text = data.decode()
    conditions = _Reader(read_yaml(text, path.name), path.name).conditions()
    return Policy(tuple(conditions), sha256(data).hexdigest())


class _Reader:
    """Reads the conditions of a YAML document, and collects what is wrong with them."""

    def __init__(self, document: YamlWithLines, name: str) -> None:
        self._document, self._name = document, name
        self._problems: list[str] = []

    def conditions(self) -> list[Condition]:
        data = self._document.data
        if not isinstance(data, dict):
            self._wrong((), "a policy is a mapping with the keys version and conditions")
            raise ManyUserError(self._problems)
        for key in data:
            if key not in _KEYS:
                self._wrong((str(key),), unknown("key", key, _KEYS))
        self._check_version(data)
        entries = data.get("conditions")
        if not isinstance(entries, list) or not entries:
            self._wrong(("conditions",), "conditions must be a list with at least one, such as '- drop: {max: 1pt}'")
            entries = []
        found = [self._condition(place, entry) for place, entry in enumerate(entries)]
        if self._problems:
            raise ManyUserError(self._problems)
        return [condition for condition in found if condition is not None]

    def _check_version(self, data: Mapping[str, Any]) -> None:
        version = data.get("version")
        if "version" not in data:
            self._wrong((), f"version is missing; write 'version: {VERSION}'")
        elif version == str(VERSION):
            self._wrong(
                ("version",), f"version must be the number {VERSION}, not the text '{VERSION}'; remove the quotes"
            )
        # In Python, true and 1.0 equal 1.
        elif type(version) is not int or version != VERSION:
            self._wrong(("version",), f"version must be the number {VERSION}, not '{shortened(str(version))}'")

    def _condition(self, place: int, entry: Any) -> Condition | None:  # noqa: ANN401 - any YAML value
        at = ("conditions", place)
        if not isinstance(entry, dict) or len(entry) != 1:
            self._wrong(at, "a condition is one quantity with its limit, such as 'drop: {max: 1pt}'")
            return None
        ((quantity, options),) = entry.items()
        if quantity not in QUANTITIES:
            self._wrong(at, unknown("quantity", quantity, QUANTITIES))
            return None
        if not self._has_limit((*at, quantity), quantity, options):
            return None
        before = len(self._problems)
        self._check_keys((*at, quantity), quantity, options)
        condition = self._read((*at, quantity), quantity, options)
        return condition if len(self._problems) == before else None

    def _has_limit(self, at: tuple[str | int, ...], quantity: Quantity, options: Any) -> bool:  # noqa: ANN401
        bound, allowed = _bound(quantity), QUANTITIES[quantity].allowed
        other = "max" if bound == "min" else "min"
        if isinstance(options, dict) and bound in options:
            return True
        if isinstance(options, dict) and other in options:
            has, no = ("smallest", "largest") if bound == "min" else ("largest", "smallest")
            value = shortened(str(options[other]))
            self._wrong(
                (*at, other),
                f"{quantity} has a {has} value, not a {no}: write '{bound}: {value}' instead of '{other}: {value}'",
            )
            return False
        given = "" if options is None or isinstance(options, dict) else f", not '{shortened(str(options))}'"
        self._wrong(at, f"{quantity} needs its limit, as in '{quantity}: {{{bound}: …}}'{given} ({allowed})")
        return False

    def _check_keys(self, at: tuple[str | int, ...], quantity: Quantity, options: Mapping[str, Any]) -> None:
        allowed = [_bound(quantity), *([] if quantity == "size" else ["tasks"])]
        allowed += ["by"] if quantity in ("drop", "retained", "accuracy") else []
        allowed += ["statistic"] if quantity == "divergence" else []
        for key in options:
            if key not in allowed:
                self._wrong((*at, str(key)), unknown("key", key, allowed, within=quantity))

    def _read(self, at: tuple[str | int, ...], quantity: Quantity, options: Mapping[str, Any]) -> Condition | None:
        tasks, extent = options.get("tasks", []), options.get("by", "task")
        statistic = str(options.get("statistic", "mean"))
        if "tasks" in options and not (
            isinstance(tasks, list) and tasks and all(isinstance(each, str) for each in tasks)
        ):
            self._wrong((*at, "tasks"), f"tasks must be a list of names, not '{shortened(str(tasks))}'")
            tasks = []
        if extent not in EXTENTS:
            self._wrong((*at, "by"), unknown("extent", extent, EXTENTS))
        if statistic not in STATISTICS:
            self._wrong((*at, "statistic"), unknown("statistic", statistic, STATISTICS))
        try:
            limit = parse_limit(quantity, options[_bound(quantity)])
        except UserError as error:
            self._wrong((*at, _bound(quantity)), str(error))
            return None
        source = f"{self._name}:{self._document.line(at)}"
        return Condition(quantity, limit, tuple(tasks), extent, statistic, source)

    def _wrong(self, at: tuple[str | int, ...], problem: str) -> None:
        self._problems.append(f"{self._name}:{self._document.line(at)}: {visible_line(problem)}")


def _bound(quantity: Quantity) -> str:
    return "min" if QUANTITIES[quantity].is_minimum else "max"
