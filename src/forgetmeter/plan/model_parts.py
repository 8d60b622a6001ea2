"""Parts of a model: the matrices of one role in a band of consecutive layers, as scopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Literal

from forgetmeter.errors import UserError
from forgetmeter.specs.role import Matrix, Stack
from forgetmeter.specs.scope import Scope

Division = Literal["role", "component", "layer"]
"""What a band of layers is divided into: single projections, attention and feed-forward, or nothing."""
DIVISIONS: tuple[Division, ...] = ("role", "component", "layer")

_COMPONENTS = ("attention", "mixer", "feed_forward")


def model_parts(matrices: Sequence[Matrix], *, by: Division, bands: int | None, most: int) -> tuple[Scope, ...]:
    """Return scopes that do not overlap and together select every matrix of the blocks whose role is known.

    Args:
        matrices: The model's ``weight_map``.
        by: What each band is divided into.
        bands: Number of bands of layers, of almost equal size, in each stack; by default as many as there are layers,
            or fewer to stay within ``most``.
        most: Number of parts that the default does not exceed, except with a single band.

    Raises:
        UserError: The model has no blocks with weights of known roles, or fewer layers than bands.
    """
    body = [each for each in matrices if each.layer is not None and each.role.component in _COMPONENTS]
    if not body:
        raise UserError(
            "the model has no blocks with weights of known roles (attention, feed-forward, mixer); "
            "select weights by name with forgetmeter run and a scope such as regex(PATTERN)"
        )
    layers = {stack: 1 + max(_layers(body, stack)) for stack in sorted({each.stack for each in body}, reverse=True)}
    deepest, shallowest = max(layers.values()), min(layers.values())
    if bands is not None and not 1 <= bands <= shallowest:
        raise UserError(
            f"--layers must be from 1 to {shallowest}, the number of layers of the model (of its "
            f"shorter stack, if it has two), not {bands}"
        )
    if bands is not None:
        return _parts(body, layers, by, bands)
    for number in range(deepest, 0, -1):
        if len(found := _parts(body, layers, by, number)) <= most:
            break
    return found


def _parts(body: Sequence[Matrix], layers: Mapping[Stack, int], by: Division, bands: int) -> tuple[Scope, ...]:
    scopes = (
        Scope(selector, stack if len(layers) > 1 else None, band)
        for (stack, number), selector in product(layers.items(), _selectors(body, by))
        for band in _bands(number, bands)
    )
    return tuple(scope for scope in scopes if scope.select(body))


def _selectors(body: Sequence[Matrix], by: Division) -> list[str]:
    if by == "layer":
        return ["overall"]
    components = [name for name in _COMPONENTS if any(each.role.component == name for each in body)]
    if by == "component":
        return components
    found: list[str] = []
    for component in components:
        roles = dict.fromkeys(each.role for each in body if each.role.component == component)
        # One matrix of an unknown part would be in no part, so the component is not divided.
        is_divided = all(role.part is not None for role in roles)
        found += dict.fromkeys(map(str, roles)) if is_divided else [component]
    return found


def _layers(body: Sequence[Matrix], stack: Stack) -> list[int]:
    return [each.layer for each in body if each.stack == stack and each.layer is not None]


def _bands(layers: int, bands: int) -> list[tuple[int, int]]:
    number = min(layers, bands)
    starts = [place * layers // number for place in range(number + 1)]
    return [(first, following - 1) for first, following in pairwise(starts)]
