"""YAML with line numbers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from yaml.reader import ReaderError

from forgetmeter.basics.visible_text import encodable
from forgetmeter.errors import ManyUserError, UserError

Path = tuple[str | int, ...]

# Aliases of aliases grow exponentially; a study of a thousand recipes is a tenth of this.
_MOST = 1_000_000


@dataclass(frozen=True)
class YamlWithLines:
    """A YAML document.

    Attributes:
        data: The content as plain Python values.
        lines: 1-based line number of each key's entry or list element, by its path in ``data``.
    """

    data: Any
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of the innermost part of ``path`` that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


@lru_cache(maxsize=1)
def read_yaml(text: str, name: str) -> YamlWithLines:
    """Read a YAML document safely (plain values only); ``name`` is its name in error messages.

    The last result is kept, as a study file is checked first for its form and then in full: callers must not change it.

    Raises:
        UserError: It is not valid YAML, has a duplicate key, or is too large with its aliases expanded.
    """
    try:
        loader = yaml.SafeLoader(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(
            f"{name}:{line}: not valid YAML: character U+{ord(text[error.position]):04X}; remove it"
        ) from None
    walk = _Walk(name)
    try:
        node = loader.get_single_node()
        if node is not None:
            walk.visit(node, ())
        data = loader.construct_document(node) if node is not None else None
    except RecursionError:
        raise UserError(
            f"{name}:1: this YAML is nested too deeply, or an alias in it refers to a node that contains it"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{name}:{line}: not valid YAML: {problem}; correct the file at this line") from None
    except (LookupError, AttributeError):
        # PyYAML's own, for a tag that does not fit its value, such as `!!bool x`.
        raise UserError(f"{name}:1: not valid YAML: a value does not match its tag; remove the tag (!!…)") from None
    finally:
        loader.dispose()
    if walk.doubles:
        raise ManyUserError(walk.doubles)
    return YamlWithLines(data, walk.lines)


def duplicate_keys(text: str, name: str) -> list[str]:
    """Return an error message for each duplicate key of a YAML document; none if it is not valid.

    Tags are allowed: nothing is constructed.
    """
    walk = _Walk(name)
    with suppress(yaml.YAMLError, RecursionError):
        if (node := yaml.compose(text, yaml.SafeLoader)) is not None:
            walk.visit(node, ())
    return walk.doubles


class _Walk:
    """Collects the line of each entry, and duplicate keys; limits how much aliases can expand to."""

    def __init__(self, name: str) -> None:
        self.lines: dict[Path, int] = {}
        self.doubles: list[str] = []
        self._name = name
        self._size = 0

    def visit(self, node: yaml.Node, path: Path) -> None:
        line = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            self._size += len(node.value)
            self._refuse_surrogates(node.value, line)
        self._size += 1
        if self._size > _MOST:
            raise UserError(
                f"{self._name}:{line}: this YAML has over {_MOST:,} characters with each alias written out; shorten it"
            )
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                self._enter(key_node, value_node, path)
        elif isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                self.lines[(*path, index)] = child.start_mark.line + 1
                self.visit(child, (*path, index))

    def _enter(self, key_node: yaml.Node, value_node: yaml.Node, path: Path) -> None:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise UserError(f"{self._name}:{line}: not valid YAML: a key must be a single value")
        self._refuse_surrogates(key_node.value, line)
        below = (*path, str(key_node.value))
        if below in self.lines:
            self.doubles.append(
                f"{self._name}:{line}: duplicate key '{key_node.value}' (first on line {self.lines[below]})"
            )
            # What is inside may be there twice for this reason alone.
            self.lines = {path: line for path, line in self.lines.items() if path[: len(below)] != below}
        self.lines[below] = line
        self.visit(value_node, below)

    def _refuse_surrogates(self, text: str, line: int) -> None:
        if (shown := encodable(text)) != text:
            raise UserError(f"{self._name}:{line}: '{shown}' is not valid Unicode; correct its escapes")
