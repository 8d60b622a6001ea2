"""Finding built-in and plug-in objects by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from forgetmeter.errors import UserError
from forgetmeter.specs.registry import Registry

GROUP = "forgetmeter.tests"
REGISTRY = Registry("thing", GROUP, {"b": "string:digits", "a": "string:ascii_letters"})


def install(monkeypatch: pytest.MonkeyPatch, **plug_ins: str) -> None:
    found = tuple(EntryPoint(name, value, GROUP) for name, value in plug_ins.items())
    monkeypatch.setattr("forgetmeter.specs.registry.plug_ins", lambda group: found if group == GROUP else ())


def test_built_in_things_come_first_and_each_is_imported_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    # A duplicate entry, as from two installations of the same package, counts once.
    install(monkeypatch, z="string:punctuation", b="string:digits")
    assert list(REGISTRY.entries()) == ["b", "a", "z"]
    assert [REGISTRY.load(name) for name in "bz"] == ["0123456789", r"""!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"""]


def test_duplicate_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, a="string:digits")
    with pytest.raises(UserError, match="plug-in string:digits names its thing 'a', which is the name of string:ascii"):
        REGISTRY.load("b")


def test_a_plug_in_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, z="string:none")
    with pytest.raises(UserError, match="thing 'z': its plug-in string:none fails: AttributeError: .*none"):
        REGISTRY.load("z")
