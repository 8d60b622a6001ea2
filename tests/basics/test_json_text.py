"""JSON text, with what JSON cannot represent."""

from __future__ import annotations

import json

import pytest

from forgetmeter.basics.json_text import read_json, to_json


def test_form() -> None:
    assert to_json({"b": (1, "ł"), "a": None}) == '{\n  "a": null,\n  "b": [\n    1,\n    "ł"\n  ]\n}\n'.encode()


def test_numbers_json_cannot_represent_become_null() -> None:
    document = {"a": [float("nan"), {"b": float("inf")}], "c": 1.5}
    assert json.loads(to_json(document)) == {"a": [None, {"b": None}], "c": 1.5}


def test_lone_surrogates_are_escaped() -> None:
    document = {"half\ud83d": "\udcff"}
    assert b"half\\ud83d" in to_json(document)
    assert json.loads(to_json(document)) == document


def test_unsupported_values_are_an_error() -> None:
    with pytest.raises(TypeError):
        to_json({"a": object()})


@pytest.mark.parametrize("text", [b"[]", b"{", b"\xff", b'{"a": NaN}', b'{"a": 1, "a": 1}', b'{"a": ' + b"[" * 100_000])
def test_anything_but_a_json_object_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        read_json(text)
