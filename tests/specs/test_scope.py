"""Parsing scopes and what they select.

Covers ``specs.role``.
"""

from __future__ import annotations

import pytest

from forgetmeter.errors import UserError
from forgetmeter.specs.role import Matrix, Role
from forgetmeter.specs.scope import parse_scope, regex_scope

QUERY = Matrix("layers.0.q.weight", Role("attention", "query", "self"), (4, 4), "decoder", 0)
CROSS = Matrix("layers.1.c.weight", Role("attention", "value", "cross"), (4, 4), "decoder", 1)
UP = Matrix("layers.2.up.weight", Role("feed_forward", "up"), (8, 4), "decoder", 2)
ENCODER_UP = Matrix("enc.layers.2.up.weight", Role("feed_forward", "up"), (8, 4), "encoder", 2)
HEAD = Matrix("head.weight", Role("head"), (9, 4), "decoder", None, "embed.weight")
ALL = (QUERY, CROSS, UP, ENCODER_UP, HEAD)
OUTPUT = Matrix("l.0.output.weight", Role("attention", "output", "self"), (4, 4), "encoder", 0, architecture="bert")
TRANSFORM = Matrix("transform.weight", Role("head_transform"), (4, 4), "encoder")
MAPPING = Matrix("mapping.weight", Role("embedding"), (4, 2), "encoder")
UNKNOWN = Matrix("strange.weight", Role("unknown"), (4, 2), "encoder")


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("attention", (QUERY, CROSS)),
        ("attention.query", (QUERY,)),
        ("self_attention", (QUERY,)),
        ("cross_attention", (CROSS,)),
        ("feed_forward", (UP, ENCODER_UP)),
        ("feed_forward.gate", ()),
        ("overall", (QUERY, CROSS, UP, ENCODER_UP)),
        ("paper/overall", (QUERY, CROSS, UP, ENCODER_UP)),
        ("head", (HEAD,)),
        ("encoder/overall", (ENCODER_UP,)),
        ("decoder/feed_forward", (UP,)),
        ("layers[0-1]/overall", (QUERY, CROSS)),
        ("layers[2]/overall", (UP, ENCODER_UP)),
        ("decoder/layers[2-9]/overall", (UP,)),
        ("layers[0-9]/head", ()),
    ],
)
def test_a_scope_selects_by_role_stack_and_layer(text: str, selected: tuple[Matrix, ...]) -> None:
    assert parse_scope(text).select(ALL) == selected
    assert str(parse_scope(text)) == text


def test_the_published_scripts_select_more_overall_and_less_of_berts_attention() -> None:
    matrices = (*ALL, OUTPUT, TRANSFORM, MAPPING, UNKNOWN)
    body = (QUERY, CROSS, UP, ENCODER_UP, OUTPUT)
    assert parse_scope("overall").select(matrices) == body
    assert parse_scope("paper/overall").select(matrices) == (*body, TRANSFORM, MAPPING)
    assert parse_scope("attention").select(matrices) == (QUERY, CROSS, OUTPUT)
    assert parse_scope("paper/attention").select(matrices) == (QUERY, CROSS)
    assert parse_scope("paper/feed_forward").select(matrices) == (UP, ENCODER_UP, OUTPUT)
    assert parse_scope("head_transform").select(matrices) == (TRANSFORM,)
    assert regex_scope("strange|mapping").select(matrices) == (MAPPING, UNKNOWN)


def test_a_regex_selects_by_parameter_name_and_survives_printing() -> None:
    scope = regex_scope(r"^layers\.(0|1)\.")
    assert scope.select(ALL) == (QUERY, CROSS)
    assert parse_scope(str(scope)) == scope


@pytest.mark.parametrize("pattern", ["(", "*", ""])
def test_a_bad_regex_is_refused(pattern: str) -> None:
    with pytest.raises(UserError, match="scope regex"):
        regex_scope(pattern)


def test_an_unknown_scope_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'attention'"):
        parse_scope("atention")
