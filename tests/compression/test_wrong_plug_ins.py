"""Plug-in methods that return something other than they must are refused, and never score a model as something else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
import torch
from tiny_models import make_llama, make_tokenizer
from torch import Tensor

from forgetmeter import wrap
from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.method import DenseWeight, MatrixMethod, Method, PruningMethod
from forgetmeter.errors import UserError
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import parse_recipe


def pruning(mask: Callable[[Tensor], Any]) -> Method:
    def rank(tensors: Sequence[Tensor], _options: object, *, seed: int) -> Callable[[float], Iterator[Tensor]]:
        return lambda _level: (mask(tensor) for tensor in tensors)

    return PruningMethod(MethodDeclaration("mine", "s", "r", "none"), rank)


def transforming(transform: Callable[[Tensor], Any]) -> Method:
    declaration = MethodDeclaration("mine", "s", "r", "none")
    return MatrixMethod(declaration, lambda weight, _level, _options: transform(weight.values()))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Method], None]:
    def install(method: Method) -> None:
        module = ModuleType("wrong_plug_in")
        module.METHOD = method  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        points = (EntryPoint("mine", "wrong_plug_in:METHOD", "forgetmeter.methods"),)
        monkeypatch.setattr("forgetmeter.specs.registry.plug_ins", lambda _group: points)

    return install


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (
            pruning(lambda tensor: torch.full(tensor.shape, 0.5)),
            r"must return a bool mask .* it returned torch\.float32",
        ),
        (pruning(lambda tensor: torch.zeros(tensor.shape, dtype=torch.int64)), r"it returned torch\.int64"),
        (pruning(lambda tensor: torch.ones(len(tensor), 1, dtype=torch.bool)), r"of shape \(32, 1\)"),
        (transforming(lambda tensor: tensor * 0), "must return a Weight for .*, not a Tensor"),
        (transforming(lambda _: None), "must return a Weight for .*, not a NoneType"),
        (transforming(lambda tensor: DenseWeight(tensor[:1])), r"changed the shape of .* from \(32, 32\) to \(1, 32\)"),
        (transforming(lambda tensor: DenseWeight(tensor.double() / 2)), r"from torch\.float32 to torch\.float64"),
    ],
)
def test_what_cannot_take_the_place_of_a_weight(install: Callable[[Method], None], method: Method, says: str) -> None:
    install(method)
    with pytest.raises(UserError, match=says):
        Compressor(wrap(make_llama(), make_tokenizer())).compressed(parse_recipe("mine:overall"))


def test_weights_changed_in_place_stop_every_later_recipe(install: Callable[[Method], None]) -> None:
    install(transforming(lambda tensor: DenseWeight(tensor.mul_(0.5) * 0.5)))
    compressor = Compressor(wrap(make_llama(), make_tokenizer()))
    for recipe in ("mine:attention", "l1_unstructured:overall:0.5", "baseline"):
        with pytest.raises(UserError, match="were changed in place, by a method or by other code; load the model"):
            compressor.compressed(parse_recipe(recipe))
