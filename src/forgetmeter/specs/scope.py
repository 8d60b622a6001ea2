"""Scopes: selections of weight matrices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from forgetmeter.errors import UserError
from forgetmeter.specs.role import ATTENTION_PARTS, FEED_FORWARD_PARTS, OTHER_ATTENTION_PARTS, Matrix, Stack
from forgetmeter.specs.suggestion import unknown

_BODY = ("attention", "feed_forward", "mixer")
# "overall" in the published scripts: every linear layer except the last.
_PUBLISHED_OVERALL = (*_BODY, "embedding", "head_transform")
# For these, the published scripts count the output projection as feed-forward, not attention.
_PUBLISHED_WITHOUT_OUTPUT = ("bert", "roberta")


def _is_published_attention(matrix: Matrix) -> bool:
    without_output = matrix.architecture in _PUBLISHED_WITHOUT_OUTPUT
    return matrix.role.component == "attention" and not (without_output and matrix.role.part == "output")


# `paper/...` are the published scripts' selections (arXiv 2312.00960); most coincide with the plain ones.
SELECTORS: dict[str, Callable[[Matrix], bool]] = {
    "attention": lambda m: m.role.component == "attention",
    "feed_forward": lambda m: m.role.component == "feed_forward",
    "mixer": lambda m: m.role.component == "mixer",
    "overall": lambda m: m.role.component in _BODY,
    "head": lambda m: m.role.component == "head",
    "head_transform": lambda m: m.role.component == "head_transform",
    "embedding_projection": lambda m: m.role.component == "embedding",
    "token_embedding": lambda m: m.role.component == "token_embedding",
    "self_attention": lambda m: m.role.attention == "self",
    "cross_attention": lambda m: m.role.attention == "cross",
    "paper/attention": _is_published_attention,
    "paper/feed_forward": lambda m: (
        m.role.component in ("attention", "feed_forward") and not _is_published_attention(m)
    ),
    "paper/overall": lambda m: m.role.component in _PUBLISHED_OVERALL,
}


def _part_of(component: str, part: str) -> Callable[[Matrix], bool]:
    return lambda matrix: matrix.role.component == component and matrix.role.part == part


SELECTORS |= {f"attention.{part}": _part_of("attention", part) for part in (*ATTENTION_PARTS, *OTHER_ATTENTION_PARTS)}
SELECTORS |= {f"feed_forward.{part}": _part_of("feed_forward", part) for part in FEED_FORWARD_PARTS}
SURE_SELECTORS = ("head", "regex")
"""What these select is certain even if some weights have unknown roles."""

_TEXT = re.compile(
    r"^(?:(?P<stack>encoder|decoder)/)?"
    r"(?:layers\[(?P<first>\d+)(?:-(?P<last>\d+))?\]/)?"
    r"(?P<selector>regex\((?P<pattern>.*)\)|[^\[\]()]+)$"
)
# Neither printed as such nor part of any parameter's name.
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]|`")


@dataclass(frozen=True)
class Scope:
    """A selection of weight matrices.

    Attributes:
        selector: A key of ``SELECTORS``; ``regex`` if ``pattern`` is set.
        stack: If set, only this stack.
        layers: If set, only blocks from the first to the last index, both inclusive.
        pattern: Regular expression searched for in parameter names. It selects all parts of a fused parameter, and
            matrices of any role, including unknown ones, but not the token embedding.
    """

    selector: str
    stack: Stack | None = None
    layers: tuple[int, int] | None = None
    pattern: str | None = None

    def selects(self, matrix: Matrix) -> bool:
        """Whether ``matrix`` belongs to the scope."""
        if self.stack is not None and matrix.stack != self.stack:
            return False
        if self.layers is not None:
            first, last = self.layers
            if matrix.layer is None or not first <= matrix.layer <= last:
                return False
        if self.pattern is not None:
            return not matrix.is_lookup and re.search(self.pattern, matrix.parameter) is not None
        return SELECTORS[self.selector](matrix)

    def select(self, matrices: Iterable[Matrix]) -> tuple[Matrix, ...]:
        """Return the matrices of the scope, in the order given."""
        return tuple(matrix for matrix in matrices if self.selects(matrix))

    def __str__(self) -> str:
        pattern = self.pattern or ""
        is_clear = unquote(pattern) == pattern and not _UNPRINTABLE.search(pattern)
        return self._written(pattern if is_clear and split_at(f"({pattern})x", "x") == [f"({pattern})", ""] else None)

    @property
    def identity(self) -> str:
        """The text in the ids of variants, where a pattern is percent-encoded."""
        return self._written(None)

    def _written(self, pattern: str | None) -> str:
        stack = f"{self.stack}/" if self.stack else ""
        layers = ""
        if self.layers is not None:
            first, last = self.layers
            layers = f"layers[{first}]/" if first == last else f"layers[{first}-{last}]/"
        selector = self.selector
        if self.pattern is not None:
            selector = f"regex({quote(self.pattern, safe='') if pattern is None else pattern})"
        return f"{stack}{layers}{selector}"


def split_at(text: str, separator: str) -> list[str]:
    """Split a text at a separator (one character), but not inside parentheses, such as those of ``regex(a+b)``.

    Parentheses after a backslash do not count.
    """
    parts, depth, is_escaped = [""], 0, False
    for character in text:
        if character == separator and depth <= 0:
            parts.append("")
            continue
        if not is_escaped:
            depth += (character == "(") - (character == ")")
        is_escaped = character == "\\" and not is_escaped
        parts[-1] += character
    return parts


def parse_scope(text: str) -> Scope:
    """Read a scope such as ``attention``, ``encoder/layers[0-5]/feed_forward``, ``head`` or ``regex(PATTERN)``.

    The pattern may be percent-encoded.

    Raises:
        UserError: The text is not a valid scope.
    """
    match = _TEXT.match(text)
    if match is None and "regex(" in text:
        raise UserError(f"scope '{text}': the parentheses do not match; write regex(PATTERN)")
    if match is None and "layers[" in text:
        raise UserError(
            f"scope '{text}' is not of the form layers[FIRST-LAST]/SCOPE; write, for example, layers[0-3]/feed_forward"
        )
    if match is None:
        raise UserError(unknown("scope", text, SELECTORS))
    layers = None
    if match["first"] is not None:
        first = int(match["first"])
        layers = (first, int(match["last"]) if match["last"] is not None else first)
        if layers[0] > layers[1]:
            raise UserError(f"scope '{text}': the layer range ends before it starts; write layers[FIRST-LAST]")
    if match["pattern"] is not None:
        return Scope("regex", match["stack"], layers, _valid_pattern(unquote(match["pattern"])))  # type: ignore[arg-type]
    if match["selector"] not in SELECTORS:
        raise UserError(unknown("scope", match["selector"], SELECTORS))
    return Scope(match["selector"], match["stack"], layers)  # type: ignore[arg-type]


def regex_scope(pattern: str) -> Scope:
    """Return the scope of all matrices whose parameter name contains a match of ``pattern``.

    Raises:
        UserError: The pattern is not a valid regular expression.
    """
    return Scope("regex", pattern=_valid_pattern(pattern))


def pattern_of(parameters: Iterable[str], *, most: int | None = None) -> str:
    """Return a regular expression that selects these parameters, in all blocks; at most ``most`` of a block's."""
    names = list(dict.fromkeys(map(unnumbered, parameters)))
    return "|".join(re.escape(name).replace(r"\.\*", r"\.\d+") for name in names[:most])


def unnumbered(parameter: str) -> str:
    """Return the name of a parameter for all blocks, such as ``layers.*.mlp.up_proj.weight``."""
    return re.sub(r"\.\d+(?=\.|$)", ".*", parameter)


def _valid_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise UserError(f"scope regex '{pattern}' is not a valid regular expression: {error}") from None
    if not pattern:
        raise UserError("scope regex is empty; give a pattern such as 'layers\\.0\\.'")
    return pattern
