"""Variants that start from the hidden states of earlier readings, against full readings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_task import MadeUpTask, plug_in
from scoring.batch_invariance import configurations
from scoring.batch_invariance.configurations import CONFIGURATIONS
from scoring.batch_invariance.test_all_architectures import REFUSED, USUALLY_RUN, WITNESSES, numbers
from tiny_models import make_llama, make_tokenizer
from torch import nn

from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.records.item import Answer, Item
from forgetmeter.results.results import open_run
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.reused_states import ReusedStates, block_list, unchanged_blocks
from forgetmeter.study.running import run


def values(answers: list[Answer | None]) -> torch.Tensor:
    return torch.tensor([each for answer in answers for each in numbers(answer)], dtype=torch.float64)


def scrambled(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)


@configurations.each(USUALLY_RUN, families=("decoder", "encoder"), without=REFUSED)
def test_states_of_the_first_blocks_change_no_answer(name: str) -> None:
    configuration = CONFIGURATIONS[name]
    make, items_of, _ = WITNESSES[configuration.family]
    model, items = configuration.model(), items_of()
    loaded = Loaded(model, make(), configuration.family, name)
    blocks = block_list(weight_map(model))
    if blocks is None:
        pytest.skip("its blocks are in several lists, or in none")
    last = model.get_submodule(blocks)[-1]  # type: ignore[index]
    before = len(model.get_submodule(blocks)) - 1  # type: ignore[arg-type]
    if not before:
        pytest.skip("it has one block")
    reused = ReusedStates(blocks)
    engine = Engine(loaded, batch_tokens=200, reused=reused)
    prepared = engine.prepare(items)
    reused.start(before + 1, wanted=[before])
    first = values(engine.score(prepared))
    scrambled(last)
    reused.start(before)
    found = values(engine.score(prepared))
    expected = values(Engine(loaded, batch_tokens=200).score(prepared))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert not torch.equal(found, first)


def made_up(items: int = 12) -> list[Item]:
    return WITNESSES["decoder"][1]()[:items]


@pytest.fixture
def llama() -> Loaded:
    return Loaded(make_llama(), make_tokenizer(), "decoder", "llama")


def counted(module: nn.Module) -> list[int]:
    """Return a list that grows by one for each call of the module's own computation."""
    calls: list[int] = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize(
    "budget",
    [
        pytest.param({}, id="in memory"),
        pytest.param({"in_memory": 0}, id="in files"),
        pytest.param({"in_memory": 20_000, "in_files": 0}, id="in part"),
        pytest.param({"in_memory": 0, "in_files": 0}, id="nowhere"),
    ],
)
def test_they_are_kept_within_the_budget(llama: Loaded, budget: dict[str, int]) -> None:
    reused = ReusedStates("model.layers", **budget)
    engine = Engine(llama, batch_tokens=100, reused=reused)
    prepared = engine.prepare(made_up())
    reused.start(2, wanted=[1, 2])
    first = values(engine.score(prepared))
    attention = counted(llama.model.get_submodule("model.layers.0.self_attn"))
    # The first batch is read twice more, to try whether the states are right.
    again = values(engine.score(prepared))
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    batches = len(prepared.batches)
    assert batches > 3
    if budget.get("in_files") is None:
        assert len(attention) == 1
    elif budget["in_memory"]:
        assert 1 < len(attention) < batches
    else:
        assert len(attention) == batches


def test_without_room_for_files_nothing_is_kept(llama: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError("unable to write to file: No space left on device (28)")

    monkeypatch.setattr(torch, "from_file", full)
    reused = ReusedStates("model.layers", in_memory=0)
    engine = Engine(llama, batch_tokens=100, reused=reused)
    prepared = engine.prepare(made_up())
    reused.start(2, wanted=[1, 2])
    first = values(engine.score(prepared))
    assert torch.equal(values(engine.score(prepared)), first)


def test_what_changed_is_read_again(llama: Loaded) -> None:
    reused = ReusedStates("model.layers")
    engine = Engine(llama, batch_tokens=100, reused=reused)
    prepared = engine.prepare(made_up())
    reused.start(2, wanted=[1, 2])
    engine.score(prepared)
    scrambled(llama.model.get_submodule("model.layers.0"))
    reused.start(0)
    found = values(engine.score(prepared))
    assert torch.equal(found, values(Engine(llama, batch_tokens=100).score(prepared)))


def test_a_model_whose_later_blocks_use_more_reuses_nothing(llama: Loaded) -> None:
    """A second block that also reads what the first one left behind."""
    model: Any = llama.model
    first, second = model.model.layers
    left: list[torch.Tensor] = []
    own_first, own_second = first.forward, second.forward

    def leaves(*args: Any, **options: Any) -> Any:
        output = own_first(*args, **options)
        left[:] = [output]
        return output

    def reads(*args: Any, **options: Any) -> Any:
        return own_second(*args, **options) + left.pop()

    first.forward, second.forward = leaves, reads
    reused = ReusedStates("model.layers")
    engine = Engine(llama, batch_tokens=100, reused=reused)
    prepared = engine.prepare(made_up())
    reused.start(1, wanted=[1])
    before = values(engine.score(prepared))
    assert torch.equal(values(engine.score(prepared)), before)
    assert first.forward is leaves


def test_each_boundary_is_tried(llama: Loaded) -> None:
    """What follows the last block also reads what that block left behind; what follows the first does not."""
    model: Any = llama.model
    second, norm = model.model.layers[1], model.model.norm
    left: list[torch.Tensor] = []
    own_second, own_norm = second.forward, norm.forward

    def leaves(*args: Any, **options: Any) -> Any:
        output = own_second(*args, **options)
        left[:] = [output]
        return output

    second.forward, norm.forward = leaves, lambda hidden: own_norm(hidden + left.pop())
    reused = ReusedStates("model.layers")
    engine = Engine(llama, batch_tokens=100, reused=reused)
    prepared = engine.prepare(made_up())
    reused.start(1, wanted=[1])
    before = values(engine.score(prepared))
    assert torch.equal(values(engine.score(prepared)), before)
    reused.start(2, wanted=[1, 2])
    assert torch.equal(values(engine.score(prepared)), before)
    assert torch.equal(values(engine.score(prepared)), before)


RECIPES = [
    "l1_unstructured:head:0.5",
    "l1_unstructured:layers[1]/attention:0.5",
    "drop_layers:layers[1]/overall:1",
    "l1_unstructured:overall:0.5",
    "l1_unstructured:layers[1]/overall:0.3+round_to_nearest:head:4",
]


def test_a_run_has_the_same_answers(llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, {"made_up": MadeUpTask})

    def margins(folder: str) -> dict[Any, Any]:
        run({"models": [str(llama_folder)], "recipes": RECIPES, "tasks": ["made_up"], "output": str(tmp_path / folder)})
        frame = open_run(str(tmp_path / folder)).outcomes
        return frame.set_index(["recipe", "item_id"])["margin"].to_dict()  # type: ignore[no-any-return]

    reused = margins("reused")
    monkeypatch.setattr(ReusedStates, "forward", plain)
    assert reused == pytest.approx(margins("full"), abs=1e-6)


def plain(_: ReusedStates, run: Callable[..., Any]) -> Callable[..., Any]:
    return run


@pytest.mark.parametrize(
    ("recipe", "unchanged"),
    [("head", 2), ("layers[1]/feed_forward", 1), ("overall", 0), ("layers[0]/attention", 0)],
)
def test_a_scope_leaves_the_blocks_before_it_as_they_were(llama: Loaded, recipe: str, unchanged: int) -> None:
    from forgetmeter.compression.applying.compressor import Compressor
    from forgetmeter.specs.recipe import parse_recipe

    changed = Compressor(llama).changed(parse_recipe(f"l1_unstructured:{recipe}:0.5"))
    assert unchanged_blocks(changed, 2) == unchanged
