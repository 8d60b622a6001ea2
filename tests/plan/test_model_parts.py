"""Parts of a model: they cover every matrix of its blocks exactly once."""

from __future__ import annotations

from collections import Counter

import pytest

from forgetmeter.errors import UserError
from forgetmeter.plan.model_parts import DIVISIONS, Division, model_parts
from forgetmeter.specs.role import ATTENTION_PARTS, FEED_FORWARD_PARTS, Component, Matrix, Part, Role, Stack

ROLES: tuple[tuple[Component, Part], ...] = (
    *(("attention", part) for part in ATTENTION_PARTS),
    *(("feed_forward", part) for part in FEED_FORWARD_PARTS),
)


def matrix(component: Component, part: Part | None, layer: int | None, stack: Stack = "decoder") -> Matrix:
    return Matrix(f"{stack}.layers.{layer}.{component}.{part}", Role(component, part), (4, 4), stack, layer)


def stacked(layers: int, stack: Stack = "decoder") -> list[Matrix]:
    return [matrix(*role, layer, stack) for layer in range(layers) for role in ROLES]


@pytest.mark.parametrize("by", DIVISIONS)
@pytest.mark.parametrize("bands", [1, 3, 5, None])
def test_every_matrix_of_a_block_is_in_one_part(by: Division, bands: int | None) -> None:
    body = [*stacked(5, "encoder"), *stacked(7, "decoder")]
    parts = model_parts([*body, matrix("head", None, None)], by=by, bands=bands, most=1000)
    selected = Counter(each for part in parts for each in part.select([*body, matrix("head", None, None)]))
    assert selected == Counter(body)
    per_band = {"role": 7, "component": 2, "layer": 1}[by]
    assert len(parts) == per_band * (12 if bands is None else 2 * bands)


def test_bands_are_of_almost_equal_size() -> None:
    parts = model_parts(stacked(30), by="layer", bands=4, most=1)
    assert [str(part) for part in parts] == [f"layers[{band}]/overall" for band in ("0-6", "7-14", "15-21", "22-29")]


@pytest.mark.parametrize(("most", "bands"), [(30, 4), (7, 1), (3, 1), (1000, 30)])
def test_the_default_number_of_bands_keeps_within_the_limit(most: int, bands: int) -> None:
    assert len(model_parts(stacked(30), by="role", bands=None, most=most)) == 7 * bands


def test_a_component_with_an_unknown_part_is_not_divided() -> None:
    """Else its matrix would be in none of the parts."""
    body = [*stacked(1), matrix("feed_forward", None, 0)]
    names = [part.selector for part in model_parts(body, by="role", bands=None, most=60)]
    assert names == [*(f"attention.{part}" for part in ATTENTION_PARTS), "feed_forward"]


def test_only_parts_with_matrices_are_listed() -> None:
    """In hybrid models, attention takes turns with a mixer."""
    body = [matrix("attention", "query", 0), matrix("mixer", None, 1), matrix("feed_forward", "up", 1)]
    parts = model_parts(body, by="component", bands=2, most=60)
    assert list(map(str, parts)) == ["layers[0]/attention", "layers[1]/mixer", "layers[1]/feed_forward"]


@pytest.mark.parametrize(
    ("matrices", "bands", "says"),
    [
        ([], None, "no blocks with weights of known roles"),
        ([matrix("head", None, None), matrix("unknown", None, 0)], 1, "no blocks with weights of known roles"),
        (stacked(3), 4, "--layers must be from 1 to 3, the number of layers"),
        (stacked(3), 0, "--layers must be from 1 to 3, the number of layers"),
        ([*stacked(2, "encoder"), *stacked(6)], 3, "must be from 1 to 2, the number of layers"),
    ],
)
def test_wrong_requests(matrices: list[Matrix], bands: int | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        model_parts(matrices, by="role", bands=bands, most=60)
