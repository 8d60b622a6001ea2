"""Registries of built-in objects and plug-ins by unique name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from forgetmeter.errors import UserError, one_line


@cache
def plug_ins(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, sorted by name; cached because finding them reads every installed package."""
    return tuple(sorted(entry_points(group=group), key=lambda entry: entry.name))


@dataclass(frozen=True)
class Registry:
    """Objects of one kind by name.

    Attributes:
        kind: Word for an entry in messages, such as ``task``.
        group: Entry-point group of plug-ins.
        built_in: ``package.module:OBJECT`` by name, in display order.
    """

    kind: str
    group: str
    built_in: Mapping[str, str]

    def entries(self) -> dict[str, EntryPoint]:
        """Return all entries by name, built-in ones first, without importing them.

        Raises:
            UserError: Two have the same name.
        """
        entries = dict(self._built_in_entries)
        for entry in plug_ins(self.group):
            taken = entries.get(entry.name)
            if taken is not None and taken.value != entry.value:
                raise UserError(
                    f"plug-in {entry.value} names its {self.kind} '{entry.name}', which is the name of {taken.value}; "
                    f"give it another name in its entry point of group {self.group}, or uninstall it"
                )
            entries[entry.name] = entry
        return entries

    @cached_property
    def _built_in_entries(self) -> dict[str, EntryPoint]:
        return {name: EntryPoint(name, target, self.group) for name, target in self.built_in.items()}

    def load(self, name: str) -> Any:  # noqa: ANN401 - any object
        """Import the object called ``name``, which must be in ``entries()``.

        Raises:
            UserError: Two have the same name, or a plug-in does not load.
        """
        entry = self.entries()[name]
        return entry.load() if name in self.built_in else self.guarded(name, entry.load)()

    def guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a plug-in's function that reports its errors, and its attempts to exit, in one line."""

        def call(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            try:
                return function(*given, **named)
            except UserError:
                raise
            except (Exception, SystemExit) as error:
                raise self.failure(name, f"fails: {type(error).__name__}: {one_line(error)}") from error

        return call

    def failure(self, name: str, problem: str) -> UserError:
        """Return the error that says what is wrong with the plug-in called ``name``."""
        return UserError(f"{self.kind} '{name}': its plug-in {self.entries()[name].value} {problem}")

    def check_name(self, name: str, declared: object) -> None:
        """Check that a plug-in declares the name of its entry point.

        Raises:
            UserError: It declares another one, or none.
        """
        if declared != name:
            raise self.failure(name, f"calls itself {declared!r}; make the two names agree")
