"""What blocks and layers compute on calibration texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.basics.quiet import quiet
from forgetmeter.compression.applying.unit import Unit, joined
from forgetmeter.compression.calibrated.input_moments import InputMoments, refuse_infinite
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.compression.surgery.installation import installed
from forgetmeter.errors import UserError
from forgetmeter.models.roles.weight_map import names_of_shared
from forgetmeter.models.skipping import mapped, returning, tensors
from forgetmeter.specs.role import Block, Matrix

Calibration = Sequence[Mapping[str, Tensor]]
"""The inputs of each call of the model, such as ``{"input_ids": ids}``, without padding."""

Compress = Callable[[Unit, InputMoments], Weight]
"""Returns a unit's compressed weight, given the inputs of its layer."""

Keep = Callable[[Weight], Weight]
"""Returns a weight that is the same and may be held elsewhere than in memory."""


def in_memory(weight: Weight) -> Weight:
    """Keep a weight as it is."""
    return weight


_TOLERANCE = 1e-5
"""Largest allowed difference between a block's output from stored states and from a full run, relative to the largest
value."""
_FEW = 8
"""Tokens on which stored states are tested."""


@dataclass(frozen=True, eq=False)
class Activations:
    """A model with calibration texts, after the earlier steps of a recipe.

    Attributes:
        model: The model, in which nothing is installed.
        calibration: The inputs of each call of the model.
        earlier: The weights that earlier steps changed.
        tokenizer: The model's tokenizer, if its texts need blanks.
        kept: Puts a finished weight where there is room for it; by default, it stays in memory.
    """

    model: PreTrainedModel
    calibration: Calibration
    earlier: Mapping[Matrix, Weight] = field(default_factory=dict)
    tokenizer: PreTrainedTokenizerBase | None = None
    kept: Keep = in_memory

    def influence(self, blocks: Iterable[Block]) -> dict[Block, float]:
        """Return one minus the mean cosine similarity between each block's input and output, over all positions.

        This is ShortGPT's block influence (Men et al. 2024, arXiv:2403.03853, equation 1).

        Args:
            blocks: The blocks; the first argument of each is the hidden states, ``(batch, positions, size)``.

        Raises:
            UserError: The model runs a block without calling it, as SqueezeBERT does.
        """
        similar: dict[Block, list[Tensor]] = {block: [] for block in blocks}
        with installed(self.model, self.earlier), ExitStack() as watching:
            for block, found in similar.items():
                module = self.model.get_submodule(self._now(block))
                watching.callback(module.register_forward_hook(_watcher(found), with_kwargs=True).remove)
            for inputs in self.calibration:
                self.call(inputs)
        if unseen := [self._now(block) for block, found in similar.items() if not found]:
            raise UserError(
                f"the influence of {unseen[0]} cannot be measured, because the model computes it without calling it "
                "as a module; use by=position"
            )
        return {block: 1 - float(torch.cat(found).mean()) for block, found in similar.items()}

    def compressed(self, units: Sequence[Unit], compress: Compress, *, has_products: bool) -> Iterator[Weight]:
        """Compress units block by block, in the order of computation, and yield their weights in the given order.

        A layer's inputs are computed with all earlier blocks compressed, and its own block not yet, as in the
        published scripts of SparseGPT, GPTQ and Wanda.

        Args:
            units: Weights of linear layers.
            compress: Called once per unit.
            has_products: Whether ``InputMoments.products`` are needed.

        Raises:
            UnusableWeightError: A unit cannot be compressed, or its layer is given NaN or infinity.
        """
        walk = _StageByStage(self, [self.module_of(unit) for unit in units])
        found: dict[int, Weight] = {}
        for stage in walk.stages:
            moments = walk.observe(stage, has_products=has_products)
            for place, of in moments.items():
                found[place] = self.kept(_compressed_at(place, units[place], of, compress))
                walk.install(units[place], found[place])
            if stage is not walk.stages[-1]:
                walk.advance(stage)
        yield from (found[place] for place in range(len(units)))

    def module_of(self, unit: Unit) -> str:
        """Return the name of a unit's layer in the model after the earlier steps, which may have dropped blocks."""
        block, name = unit.matrices[0].block, unit.matrices[0].module
        return name if block is None else self._now(block) + name.removeprefix(f"{block[0]}.{block[1]}")

    def call(self, inputs: Mapping[str, Tensor]) -> Any:  # noqa: ANN401 - of transformers
        """Run the model."""
        with torch.inference_mode():
            return self.model(**{name: ids.to(self.model.device) for name, ids in inputs.items()})

    def _now(self, block: Block) -> str:
        path, index = block
        dropped = {each.block for each, weight in self.earlier.items() if weight.is_dropped}
        return f"{path}.{index - sum(1 for each in dropped if each and each[0] == path and each[1] < index)}"


@dataclass(frozen=True)
class Stage:
    """A block, or a layer outside of blocks, whose units are compressed together.

    Attributes:
        module: Its name.
        places: The indices of its units.
        is_block: Whether it is a block that runs once and shares no unit with other blocks, so that the model can be
            stopped after it.
    """

    module: str
    places: tuple[int, ...]
    is_block: bool


class _StageByStage:
    """Runs a model stage by stage, starting from the output of the previous stage.

    While the model runs, earlier blocks return the stored output of the last of them. A model whose blocks depend on
    more than that, such as shared keys, is detected by also running it from its start on a few tokens; it is then
    always run from its start.

    Args:
        activations: The model after earlier steps, with texts.
        modules: The names of the units' layers.
    """

    def __init__(self, activations: Activations, modules: Sequence[str]) -> None:
        self._model, self._call, self._kept = activations.model, activations.call, activations.kept
        self._modules = modules
        self._weights = {
            matrix: weight
            for unit in joined(activations.earlier.items())
            for matrix, weight in unit.split(self._ready(unit.weight)).items()
        }
        self._calls = [*activations.calibration, _beginning(activations.calibration[0])]
        self._states: dict[str, tuple[int, list[Any]]] = {}
        self._is_skipping = True
        with installed(self._model, self._weights):
            self._users = _users(self._model, modules)
            self.stages = self._in_order()

    def _in_order(self) -> list[Stage]:
        """Return the blocks, and the layers outside of blocks, in the order in which the model computes them."""
        lists = tuple(f"{name}." for name, module in self._model.named_modules() if isinstance(module, nn.ModuleList))
        places: dict[str, list[int]] = {}
        for place, module in enumerate(self._modules):
            # The outermost list of blocks: those of experts are within blocks, and Funnel's blocks in lists of lists.
            path = min((each for each in lists if _is_in_list_of_layers(module, each, lists)), key=len, default="")
            block = path + module.removeprefix(path).partition(".")[0] if path else module
            places.setdefault(block, []).append(place)
        order: list[str] = []
        with ExitStack() as watching:
            for name in places:
                module = self._model.get_submodule(name)
                watching.callback(module.register_forward_pre_hook(_noting(order, name)).remove)
            self._call(self._calls[-1])
        # What never runs on these texts comes last.
        return [
            Stage(
                name,
                tuple(places[name]),
                order.count(name) == 1
                and name.startswith(lists)
                and not any(self._modules[place] in self._users for place in places[name]),
            )
            for name in dict.fromkeys([*order, *places])
        ]

    def observe(self, stage: Stage, *, has_products: bool) -> dict[int, InputMoments]:
        """Return the inputs of the layer of each unit of a stage."""
        found: dict[str, InputMoments] = {}
        watched = _Watched(found, can_stop=stage.is_block)
        with installed(self._model, self._weights), ExitStack() as watching:
            if self._states and not self._is_same(stage):
                self._is_skipping = False
                self._states.clear()
            for name in dict.fromkeys(self._modules[place] for place in stage.places):
                modules = self._users.get(name, [self._model.get_submodule(name)])
                found[name] = InputMoments(_inputs(modules[0]), self._model.device, has_products=has_products)
                for module in modules:
                    watching.callback(module.register_forward_pre_hook(watched.hook(name), with_kwargs=True).remove)
            for number in range(len(self._calls) - 1):
                self._run(stage, number)
                watched.finish()
        return {
            place: found[watched.leader.get(name, name)] for place in stage.places if (name := self._modules[place])
        }

    def install(self, unit: Unit, weight: Weight) -> None:
        """Use a compressed weight from now on."""
        self._weights |= unit.split(self._ready(weight))

    def advance(self, stage: Stage) -> None:
        """Compute what the stage returns now, from which the next one starts."""
        if not (stage.is_block and self._is_skipping):
            return
        path, _, number = stage.module.rpartition(".")
        with installed(self._model, self._weights):
            self._states[path] = (int(number), [self._run(stage, each) for each in range(len(self._calls))])

    def _is_same(self, stage: Stage) -> bool:
        """Whether a stage returns the same whether the model runs from the stored outputs or from its start."""
        states, self._states = self._states, {}
        whole = self._run(stage, -1)
        self._states = states
        try:
            with quiet():
                part = self._run(stage, -1)
        except Exception:  # noqa: BLE001 - any architecture's own code may raise anything
            return False
        pairs = zip(tensors(whole), tensors(part), strict=True)
        return all(
            bool((one - other).abs().max() <= _TOLERANCE * one.abs().max())
            for one, other in pairs
            if one.is_floating_point()
        )

    def _run(self, stage: Stage, number: int) -> Any:  # noqa: ANN401
        """Run the model on a call until the stage is computed; return what the block or the whole model returned."""
        returned: list[Any] = []

        def stop(_module: nn.Module, _args: object, output: Any) -> None:  # noqa: ANN401
            returned.append(output)
            raise _Stopped

        with self._skipping(number), ExitStack() as watching, suppress(_Stopped):
            if stage.is_block:
                module = self._model.get_submodule(stage.module)
                watching.callback(module.register_forward_hook(stop).remove)
            returned.append(self._call(self._calls[number]).logits)
        return returned[0] if returned else None

    @contextmanager
    def _skipping(self, number: int) -> Iterator[None]:
        """Have finished blocks return the stored output of the last of them."""
        with ExitStack() as undoing:
            for path, (last, outputs) in self._states.items():
                # Later blocks may change it in place.
                output = mapped(outputs[number], torch.clone)
                for index in range(last + 1):
                    undoing.enter_context(returning(self._model.get_submodule(f"{path}.{index}"), output))
            yield

    def _ready(self, weight: Weight) -> Weight:
        """Return a weight that costs nothing to install repeatedly."""
        if weight.has_layer or weight.is_dropped or isinstance(weight, DenseWeight):
            return weight
        return self._kept(DenseWeight(weight.parameter(self._model.dtype)))


class _Stopped(Exception):  # noqa: N818 - not an error
    """The model has computed all that is needed."""


class _Watched:
    """Adds up the inputs of layers.

    What the first call shows holds for the others: layers that are given the same tensor share their sums, and if each
    layer runs once, the model can be stopped before the last of them computes.

    Attributes:
        leader: Maps each layer that shares another's sums to the name of that other layer.
    """

    def __init__(self, moments: Mapping[str, InputMoments], *, can_stop: bool) -> None:
        self._moments, self._can_stop = moments, can_stop
        self._given: dict[str, list[Tensor]] = {}
        self._order: list[str] = []
        self._last: str | None = None
        self._is_first = True
        self.leader: dict[str, str] = {}

    def hook(self, name: str) -> Callable[..., None]:
        """Return a hook that adds the inputs of a layer."""

        def add(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = args[0] if args else next(iter(kwargs.values()))
            self._order.append(name)
            if name in self.leader:
                assert self._given[self.leader[name]][-1] is given, f"{name} no longer shares its input"
            else:
                self._given.setdefault(name, []).append(given)
                self._moments[name].add(given)
            if name == self._last:
                raise _Stopped

        return add

    def finish(self) -> None:
        """Conclude a call."""
        if self._is_first:
            for place, name in enumerate(self._given):
                others = list(self._given)[:place]
                leader = next((each for each in others if _are_same(self._given[each], self._given[name])), None)
                self.leader |= {} if leader is None else {name: leader}
            if self._can_stop and sorted(self._order) == sorted(self._moments):
                self._last = self._order[-1]
        self._is_first = False
        self._given.clear()


def _are_same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))


def _compressed_at(place: int, unit: Unit, inputs: InputMoments, compress: Compress) -> Weight:
    """Compress a unit; errors say which one it is."""
    try:
        refuse_infinite(inputs.squares)
        return compress(unit, inputs)
    except UnusableWeightError as error:
        raise UnusableWeightError(error.reason, position=place) from error


def _users(model: PreTrainedModel, names: Iterable[str]) -> dict[str, list[nn.Module]]:
    """Return, for each layer whose weight is shared, all layers that use that weight, as in Zamba.

    A layer that is part of several blocks counts once, since it is one module.
    """
    shared, found = names_of_shared(model), {}
    for name in names:
        owners = (parameter.rpartition(".")[0] for parameter in shared.get(f"{name}.weight", ()))
        layers = [layer for owner in owners if not isinstance(layer := model.get_submodule(owner), nn.Embedding)]
        if len(layers) > 1:
            found[name] = list({id(layer): layer for layer in layers}.values())
    return found


def _inputs(module: nn.Module) -> int:
    """Return the number of input units of a linear layer of any form."""
    found: int = module.in_features if hasattr(module, "in_features") else module.nx
    return found


def _beginning(inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the first tokens of a call."""
    shape = inputs["input_ids"].shape
    return {name: ids[:1, :_FEW] if ids.shape == shape else ids for name, ids in inputs.items()}


def _is_in_list_of_layers(module: str, path: str, lists: Sequence[str]) -> bool:
    return module.startswith(path) and f"{path}{module.removeprefix(path).partition('.')[0]}." not in lists


def _noting(order: list[str], name: str) -> Callable[..., None]:
    def note(_module: nn.Module, _args: object) -> None:
        order.append(name)

    return note


def _watcher(found: list[Tensor]) -> Callable[..., None]:
    def watch(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:  # noqa: ANN401
        before = args[0] if args else kwargs["hidden_states"]
        after = output if isinstance(output, Tensor) else output[0]
        found.append(nn.functional.cosine_similarity(before.double(), after.double(), dim=-1).flatten())

    return watch
