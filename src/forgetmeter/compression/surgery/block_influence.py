"""How much each block changes what flows through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from forgetmeter.specs.role import Block

Calibration = Sequence[Mapping[str, Tensor]]
"""What the model is called with, call by call, such as ``{"input_ids": ids}``; without padding."""


def block_influence(model: PreTrainedModel, blocks: Iterable[Block], calibration: Calibration) -> dict[Block, float]:
    """Return 1 - the mean cosine similarity of each block's input and output, over all positions.

    This is ShortGPT's block influence (Men et al. 2024, 2403.03853, equation 1).

    Args:
        model: The model.
        blocks: Which blocks; each is called with the hidden states, ``(batch, positions, size)``, first.
        calibration: What to call the model with; all positions count.
    """
    similar: dict[Block, list[Tensor]] = {block: [] for block in blocks}
    with ExitStack() as watching, torch.inference_mode():
        for block, found in similar.items():
            module = model.get_submodule(f"{block[0]}.{block[1]}")
            watching.callback(module.register_forward_hook(_watcher(found), with_kwargs=True).remove)
        for inputs in calibration:
            model(**{name: ids.to(model.device) for name, ids in inputs.items()})
    return {block: 1 - float(torch.cat(found).mean()) for block, found in similar.items()}


def _watcher(found: list[Tensor]) -> Callable[..., None]:
    def watch(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:  # noqa: ANN401
        before = args[0] if args else kwargs["hidden_states"]
        after = output if isinstance(output, Tensor) else output[0]
        found.append(nn.functional.cosine_similarity(before.double(), after.double(), dim=-1).flatten())

    return watch
