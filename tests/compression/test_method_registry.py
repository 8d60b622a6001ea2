"""The registry of compression methods, built-in and from plug-ins.

Covers ``compression.registry`` and ``compression.method``.
"""

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from forgetmeter.compression import registry
from forgetmeter.compression.method import MatrixMethod
from forgetmeter.compression.methods import l1_unstructured
from forgetmeter.compression.registry import METHODS, load_method, needs_texts
from forgetmeter.errors import UserError
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import parse_recipe


@pytest.fixture
def plug_in(monkeypatch):
    """Return a function that installs a plug-in method under a name."""

    def declare(name, *, declared="mine", target="plug_in_for_tests:METHOD"):
        module = ModuleType("plug_in_for_tests")
        module.METHOD = MatrixMethod(
            MethodDeclaration(declared, "s", "r", "none"), lambda weight, _level, _options: weight
        )
        monkeypatch.setitem(sys.modules, "plug_in_for_tests", module)
        found = [EntryPoint(name, target, registry.METHODS.group)]
        monkeypatch.setattr("forgetmeter.specs.registry.plug_ins", lambda _group: tuple(found))
        return module.METHOD

    return declare


def test_built_in_methods_are_found_and_named_as_in_the_registry():
    assert {"l1_unstructured", "dynamic_int8"} <= set(registry.method_names())
    assert registry.load_method("l1_unstructured") is l1_unstructured.METHOD
    for name in registry.METHODS.built_in:
        assert registry.load_method(name).declaration.name == name


def test_an_unknown_name_gets_the_nearest_and_the_allowed():
    with pytest.raises(UserError, match=r"unknown method 'l1_unstructred'; did you mean 'l1_unstructured'\?"):
        registry.load_method("l1_unstructred")


def test_a_plug_in_is_listed_and_loaded(plug_in):
    method = plug_in("mine")
    assert registry.method_names() == (*sorted(registry.METHODS.built_in), "mine")
    assert registry.load_method("mine") is method


def test_listing_loads_no_plug_in(plug_in):
    plug_in("mine", target="no_such_module_at_all:METHOD")
    assert "mine" in registry.method_names()
    with pytest.raises(UserError, match="fails: ModuleNotFoundError: No module named 'no_such_module_at_all'"):
        registry.load_method("mine")


def test_a_plug_in_cannot_take_the_name_of_a_built_in_method(plug_in):
    plug_in("dynamic_int8")
    with pytest.raises(UserError, match=r"'dynamic_int8', which is the name of forgetmeter\.compress"):
        registry.method_names()
    with pytest.raises(UserError, match="give it another name"):
        registry.load_method("l1_unstructured")


def test_a_plug_in_must_go_by_the_name_it_declares(plug_in):
    plug_in("mine", declared="yours")
    with pytest.raises(UserError, match="calls itself 'yours'"):
        registry.load_method("mine")


@pytest.mark.parametrize("name", sorted(METHODS.built_in))
def test_methods_that_need_texts_are_known_without_importing_them(name) -> None:
    method = load_method(name)
    level = {"none": "", "fraction": ":0.5", "bits": ":4"}[method.declaration.level]
    choices = [(key, value) for key, option in method.declaration.options.items() for value in option.allowed]
    for option in ["", *(f":{key}={str(value).lower()}" for key, value in choices)]:
        recipe = parse_recipe(f"{name}:overall{level}{option}")
        assert needs_texts(recipe) == method.needs_activations(method.declaration.values(recipe.steps[0])), option
