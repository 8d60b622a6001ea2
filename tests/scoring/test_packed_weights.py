"""Packed weights give the products of plain layers, and leave the model as it was.

Covers forgetmeter.scoring.packed_weights.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from tiny_models import make_llama, make_tokenizer
from torch import nn

from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Item, Request, Requests, RequestScores
from forgetmeter.scoring import packed_weights as module
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.packed_weights import multiplying_packed, packed_weights


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pack small models too, on any processor."""
    monkeypatch.setattr(module, "_FEWEST_TOKENS", {torch.float32: 1})
    monkeypatch.setattr(module, "_FEWEST_WEIGHTS", 1)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 5, 64), (1, 64), (0, 64), (700, 64)])
def test_products_are_those_of_the_layer(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(64, 33, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        expected = layer(inputs)
        with multiplying_packed([layer]):
            found = layer(inputs)
            assert "forward" in vars(layer)
        torch.testing.assert_close(found, expected)
        assert "forward" not in vars(layer)
        assert torch.equal(layer(inputs), expected)


def items() -> list[Item]:
    texts = ["the sun rises in the", "water is made of hydrogen and", "cats"]
    return [
        Item(
            id=str(number),
            content_hash="",
            asks=Requests([Request(text, " sat"), Request(text, " ran")]),
            choices=(" sat", " ran"),
            gold=(0,),
        )
        for number, text in enumerate(texts)
    ]


def scores(engine: Engine) -> torch.Tensor:
    answers = engine.score(engine.prepare(items()))
    return torch.tensor(
        [each.loglikelihood for answer in answers if isinstance(answer, RequestScores) for each in answer]
    )


@pytest.mark.usefixtures("always")
def test_each_variant_is_packed_anew() -> None:
    model = make_llama()
    engine = Engine(Loaded(model, make_tokenizer(), "decoder", "tiny"))
    first = scores(engine)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    second = scores(engine)
    assert not torch.allclose(first, second)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_FEWEST_TOKENS", {})
        torch.testing.assert_close(second, scores(engine), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("always")
def test_nothing_is_packed_for_batches_that_others_have_read(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(Loaded(make_llama(), make_tokenizer(), "decoder", "tiny"))
    prepared = engine.prepare(items())
    packed: list[object] = []
    monkeypatch.setattr(module, "multiplying_packed", lambda layers: packed.append(layers) or nullcontext())
    read = engine.read_share(prepared, 0, 1)
    assert packed.pop()
    with engine.knowing(read):
        engine.score(prepared)
    assert packed == [[]]


@pytest.mark.usefixtures("always")
def test_altered_layers_are_left_alone() -> None:
    class Doubled(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(inputs)

    replaced, double = nn.Linear(8, 8), nn.Linear(8, 8, dtype=torch.float64)
    replaced.forward = lambda inputs: inputs  # type: ignore[method-assign]
    plain = nn.Linear(8, 8)
    model = nn.ModuleList([Doubled(8, 8), replaced, double, plain])
    with packed_weights(model, tokens=10):
        assert [layer for layer in model if "forward" in vars(layer)] == [replaced, plain]
    assert [layer for layer in model if "forward" in vars(layer)] == [replaced]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", ["_FEWEST_WEIGHTS", "_MOST_BYTES"])
def test_nothing_is_packed_in_vain_or_beyond_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, name, {"_FEWEST_WEIGHTS": 65, "_MOST_BYTES": 255}[name])
    layer = nn.Linear(8, 8)
    with packed_weights(nn.Sequential(layer), tokens=10):
        assert "forward" not in vars(layer)


@pytest.mark.usefixtures("always")
def test_layers_are_as_before_after_an_error() -> None:
    layer = nn.Linear(8, 8)
    with pytest.raises(MemoryError), packed_weights(nn.Sequential(layer), tokens=10):
        assert "forward" in vars(layer)
        raise MemoryError
    assert "forward" not in vars(layer)
