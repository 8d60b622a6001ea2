"""YAML with line numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from forgetmeter.errors import ManyUserError, UserError

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class LinedYaml:
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


def read_yaml(text: str, name: str) -> LinedYaml:
    """Read a YAML document safely (plain values only); ``name`` is its name in error messages.

    Raises:
        UserError: It is not valid YAML, or has a duplicate key.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        doubles: list[str] = []
        if node is not None:
            _walk(node, (), lines, doubles, name)
        data = loader.construct_document(node) if node is not None else None
    except RecursionError:
        raise UserError(f"{name}:1: this YAML is nested too deeply or contains itself") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{name}:{line}: not valid YAML: {problem}") from None
    finally:
        loader.dispose()
    if doubles:
        raise ManyUserError(doubles)
    return LinedYaml(data, lines)


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int], doubles: list[str], name: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            below = (*path, str(key_node.value))
            line = key_node.start_mark.line + 1
            if below in lines:
                doubles.append(f"{name}:{line}: duplicate key '{key_node.value}' (first in line {lines[below]})")
            lines[below] = line
            _walk(value_node, below, lines, doubles, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            below = (*path, index)
            lines[below] = child.start_mark.line + 1
            _walk(child, below, lines, doubles, name)
