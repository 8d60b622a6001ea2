"""Removes whole blocks from a model, and restores them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from forgetmeter.errors import UserError
from forgetmeter.models.roles.weight_map import shared_parameters
from forgetmeter.specs.role import Block

Undo = Callable[[], None]

# Names of a module's block number, the index of its keys and values in the cache.
_NUMBERS = ("layer_idx", "layer_id", "layer_index")
# Lists with one entry per block; and, among them, lists of block numbers.
_NUMBERS_OF_BLOCKS = re.compile(r"(idxs?|indices|layer_ids)$|^(mlp_only|cross_attention|moe|global_attention)_layers$")
_OF_BLOCKS = re.compile(r"layer|block|pattern|sparsity|intermediate_size|_heads$|window|idx|indices")
# Names of the configuration's number of blocks per stack; the first that exists counts.
_COUNTS = {"encoder": ("encoder_layers", "num_layers"), "decoder": ("decoder_layers", "num_decoder_layers")}


class _IndescribableError(Exception):
    """Why a configuration cannot describe the remaining blocks, in words for users."""


def drop_blocks(model: PreTrainedModel, blocks: Iterable[Block]) -> Undo:
    """Remove blocks from a model, as if it had been built without them; each list must keep at least one.

    The remaining blocks are renumbered, for key-value caches and for saving, and the configuration is updated. T5's
    relative positions, held by the first block of a stack for all of them, move to the first remaining block.

    Returns:
        A function that restores everything.

    Raises:
        UserError: The architecture's configuration does not allow it.
    """
    by_list: dict[str, set[int]] = {}
    for path, index in blocks:
        by_list.setdefault(path, set()).add(index)
    _refuse_shared(model, [f"{path}.{index}." for path, dropped in by_list.items() for index in dropped])
    with ExitStack() as undoing:
        for path, dropped in by_list.items():
            try:
                _drop(model, path, dropped, undoing)
            except Exception as error:  # configurations refuse settings by many kinds of errors, worded for developers
                reason = f" ({error})" if isinstance(error, _IndescribableError) else ""
                raise UserError(
                    f"drop_layers does not support models of type {model.config.model_type}: their configuration "
                    f"cannot describe a model with only these blocks{reason}; choose other blocks or another method"
                ) from error
        return undoing.pop_all().close
    raise AssertionError("unreachable: the block above returns or raises")


def _refuse_shared(model: PreTrainedModel, dropped: Sequence[str]) -> None:
    """Refuse to drop the block that names the weights of others, which would lose theirs."""
    for first, *others in shared_parameters(model).values():
        if any(map(first.startswith, dropped)):
            user = next((name for name in others if not any(map(name.startswith, dropped))), None)
            if user is not None:
                raise UserError(
                    f"drop_layers cannot drop the block that holds {first}, because {user} uses the same weights; "
                    "choose other blocks or another method"
                )


def _drop(model: PreTrainedModel, path: str, dropped: set[int], undoing: ExitStack) -> None:
    parent_path, _, name = path.rpartition(".")
    parent = model.get_submodule(parent_path)
    old = getattr(parent, name)
    kept = [index for index in range(len(old)) if index not in dropped]
    _keep_relative_positions(old[0], old[kept[0]], undoing)
    configs = list(_configs(model, path))
    usual = [index for index in kept if _parts_as_built(old[index], configs, index) == _parts(old[index])]
    _renumber([(old[index], index) for index in kept], undoing)
    for config, count in _counts(model, path, len(old)):
        _set(config, count, len(kept), undoing)
    for config in configs:
        _check_droppable(config)
        changed = remaining_settings(vars(config), len(old), kept)
        _check_adapters(old, config, changed)
        # Mllama's decoder has its own copy of the blocks that attend to images.
        copies = {setting for setting in changed if getattr(parent, setting, None) == getattr(config, setting)}
        if any(
            _attends(setting, getattr(config, setting)) and not _attends(setting, value)
            for setting, value in changed.items()
        ):
            # transformers' cache of a hybrid model asks its attention for the number of tokens.
            _set(config, "use_cache", False, undoing)
        for setting, value in changed.items():
            _set(config, setting, value, undoing)
        for setting in copies:
            _set(parent, setting, changed[setting], undoing)
    _refuse_missing_parts([(new, old[index]) for new, index in enumerate(kept) if index in usual], configs)
    _refuse_other_constants([old[index] for index in kept], configs)
    _set(parent, name, nn.ModuleList([old[index] for index in kept]), undoing)


def _renumber(kept: Iterable[tuple[nn.Module, int]], undoing: ExitStack) -> None:
    for new, (block, index) in enumerate(kept):
        for module in block.modules():
            for number in _NUMBERS:
                if getattr(module, number, None) == index:
                    _set(module, number, new, undoing)


def _refuse_missing_parts(kept: Iterable[tuple[int, nn.Module]], configs: Sequence[Any]) -> None:
    """Refuse blocks that their new numbers give a part which only a dropped block has."""
    for new, block in kept:
        part = _lacking(_parts(block), _parts_as_built(block, configs, new))
        if part is not None:
            raise _IndescribableError(f"its block {new} needs {part}, which only a dropped block has")


def _lacking(own: Mapping[str, type], needed: Mapping[str, type]) -> str | None:
    """Return a module that a block needs and does not have, such as RWKV's first norm; ``None`` if there is none.

    Another kind of layer in the same place, such as experts, works as it is.
    """
    missing = (name for name in needed if name not in own)
    return next((name for name in missing if own.get(above := name.rpartition(".")[0]) == needed[above]), None)


def _parts(block: nn.Module) -> dict[str, type]:
    return {name: type(module) for name, module in block.named_modules()}


def _parts_as_built(block: nn.Module, configs: Sequence[Any], number: int) -> dict[str, type]:
    """Return the modules of a new block of this number; none if it is built in another way."""
    return next(map(_parts, _as_built(block, configs, number)), {})


def _as_built(block: nn.Module, configs: Sequence[Any], number: int) -> Iterator[nn.Module]:
    """Yield new blocks of this number, without weights, from each configuration that the block can be built from."""
    for config in configs:
        try:
            with torch.device("meta"):
                built = type(block)(config, number)
        except Exception:  # noqa: BLE001 - blocks are built in many ways; compress checks what it writes
            continue
        yield built


def _refuse_other_constants(kept: Sequence[nn.Module], configs: Sequence[Any]) -> None:
    """Refuse blocks whose constants follow from their number or from how many there are, as in MiniCPM 3.

    What is written has the constants of the remaining blocks.
    """
    pairs = ((block, built) for number, block in enumerate(kept) for built in _as_built(block, configs, number))
    for block, built in pairs:
        modules = dict(block.named_modules())
        for name, module in built.named_modules():
            for key, value in vars(module).items():
                own = getattr(modules.get(name), key, value)
                if type(value) is float and type(own) is float and own != value and "drop" not in key:
                    raise _IndescribableError(
                        f"its {key} depends on the index of each block, or on how many blocks there are"
                    )


def _attends(setting: str, value: object) -> bool:
    """Whether a setting lists blocks with attention other than linear attention, by their numbers or kinds."""
    kinds = value if isinstance(value, list | tuple) else ()
    return (
        bool(kinds)
        if setting == "attn_layer_indices"
        else any(str(kind).endswith("attention") and not str(kind).startswith("linear") for kind in kinds)
    )


def _check_droppable(config: Any) -> None:  # noqa: ANN401 - each architecture has its own configuration
    if getattr(config, "is_heterogeneous", False):
        raise _IndescribableError("its per_layer_config numbers the blocks")
    if getattr(config, "hidden_size_per_layer_input", 0):
        raise _IndescribableError("its second embedding holds an input for each block")


def _check_adapters(blocks: nn.ModuleList, config: Any, changed: Mapping[str, Any]) -> None:  # noqa: ANN401
    """Refuse other numbers for the blocks that share an attention with adapters, as in Zamba 2."""
    numbers = changed.get("hybrid_layer_ids", [])
    is_moved = any(
        before != after for before, after in zip(getattr(config, "hybrid_layer_ids", []), numbers, strict=False)
    )
    if is_moved and any(hasattr(module, "layer_dic") for module in blocks.modules()):
        raise _IndescribableError("its attention finds its adapters by the numbers of the blocks that use it")


def remaining_settings(settings: Mapping[str, Any], length: int, kept: Sequence[int]) -> dict[str, Any]:
    """Return the per-block settings of a configuration that change, updated for the remaining blocks.

    These are lists with one entry per block, lists of block numbers, the number of dense blocks at the beginning, and
    the period of sparse blocks. Other periods cannot be preserved; only loading the saved model reveals one.
    """
    changed: dict[str, Any] = {}
    for name, value in settings.items():
        if not isinstance(value, (list, tuple)) or not value or not _OF_BLOCKS.search(name):
            continue
        if _NUMBERS_OF_BLOCKS.search(name) and all(type(each) is int and 0 <= each < length for each in value):
            changed[name] = [place for place, index in enumerate(kept) if index in value]
        elif len(value) == length:
            changed[name] = [value[index] for index in kept]
    if isinstance(dense := settings.get("first_k_dense_replace"), int):
        changed["first_k_dense_replace"] = sum(index < dense for index in kept)
    step, dense_only = settings.get("decoder_sparse_step"), settings.get("mlp_only_layers")
    if isinstance(step, int) and step > 1 and isinstance(dense_only, list):
        changed["decoder_sparse_step"] = 1
        changed["mlp_only_layers"] = [
            place for place, index in enumerate(kept) if index in dense_only or (index + 1) % step
        ]
    return {name: value for name, value in changed.items() if value != settings[name]}


def _keep_relative_positions(first: nn.Module, heir: nn.Module, undoing: ExitStack) -> None:
    if first is heir:
        return
    holders = [module for module in first.modules() if getattr(module, "has_relative_attention_bias", False)]
    for path, module in heir.named_modules():
        if holders and type(module) is type(holders[0]) and first.get_submodule(path) is holders[0]:
            # Usually one table; LongT5's blocks with global tokens have another one for these.
            for name, child in holders[0].named_children():
                if not hasattr(module, name):
                    _set(module, name, child, undoing)
            _set(module, "has_relative_attention_bias", True, undoing)


def _counts(model: PreTrainedModel, path: str, length: int) -> list[tuple[Any, str]]:
    found = []
    for config in _configs(model, path):
        stack = next((name for name in _COUNTS if name in path.split(".")), None)
        names = _COUNTS[stack] if stack is not None and config.is_encoder_decoder else ()
        name = next((name for name in names if hasattr(config, name)), "num_hidden_layers")
        # xLSTM's is the second one.
        found += [(config, each) for each in (name, "num_blocks") if getattr(config, each, None) == length]
    if not found:
        # As for the groups of ALBERT, each of which is run several times.
        raise _IndescribableError("no setting is their number")
    return found


def _configs(model: PreTrainedModel, path: str) -> list[Any]:
    """Return the distinct configurations of the model and of the modules that contain the list."""
    names = path.split(".")
    modules = [model.get_submodule(".".join(names[:end])) for end in range(len(names))]
    configs = [module.config for module in modules if hasattr(module, "config")]
    return list({id(config): config for config in configs}.values())


def _set(owner: Any, name: str, value: Any, undoing: ExitStack) -> None:  # noqa: ANN401
    had = hasattr(owner, name)
    old = getattr(owner, name, None)
    setattr(owner, name, value)
    undoing.callback((lambda: setattr(owner, name, old)) if had else (lambda: delattr(owner, name)))
