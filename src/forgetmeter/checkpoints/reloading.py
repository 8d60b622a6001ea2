"""Whether what was written is the model that was compressed: it is loaded again, and asked."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.checkpoints.request import Request
from forgetmeter.checkpoints.source import Source
from forgetmeter.checkpoints.whole import compressed_in_memory, computing_dtype
from forgetmeter.errors import UserError, one_line
from forgetmeter.models.loading import model_of

MOST_CHECKED_BYTES = 1_000_000_000
"""Up to this size of a source's files, a result is checked unless asked otherwise; it takes some three times that."""

_LENGTHS = (11, 6)
_CLOSE, _CLOSE_IN_16_BITS = 1e-3, 0.1
"""How far logits may be off, as a share of their spread over the vocabulary: transformers rounds packed scales."""


def check_reloaded(request: Request, source: Source, folder: Path) -> None:
    """Compare the model that a folder loads as with the one that was compressed, in memory, one after the other.

    Args:
        request: What was done.
        source: The checkpoint that it was done to.
        folder: What was written.

    Raises:
        UserError: It cannot be loaded, or gives other logits.
    """
    dtype = computing_dtype(request, source)
    expected = _logits(compressed_in_memory(request, source)[0])
    try:
        found = _logits(model_of(folder, str(request.model), dtype=dtype))
    except Exception as error:  # a configuration that fits no longer makes modelling code raise anything
        raise UserError(
            f"'{request.recipe}' of {request.model} cannot be saved so that transformers loads it again "
            f"({one_line(error).partition(': ')[2] or one_line(error)}); {_INSTEAD}"
        ) from error
    close = _CLOSE if dtype == torch.float32 else _CLOSE_IN_16_BITS
    off = max(_distance(one, other) for one, other in zip(expected, found, strict=True))
    if not off <= close:
        raise UserError(
            f"'{request.recipe}' of {request.model} cannot be saved so that transformers loads the same model again: "
            f"its logits would be off by {off:.2g} of their spread; {_INSTEAD}"
        )


_INSTEAD = "nothing was written; choose another recipe, or another --format"


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _logits(model: PreTrainedModel) -> list[Tensor]:
    """Return what a model says of a few texts of random tokens, float32, shape ``(tokens, vocabulary)`` each."""
    model = model.eval()
    vocabulary = int(model.config.get_text_config().vocab_size)
    generator = torch.Generator().manual_seed(0)
    found = []
    for length in _LENGTHS:
        tokens = torch.randint(vocabulary, (1, length), generator=generator)
        given = {"decoder_input_ids": tokens.flip(1)} if model.config.is_encoder_decoder else {}
        found.append(model(input_ids=tokens, **given).logits[0].float())
    return found


def _distance(one: Tensor, other: Tensor) -> float:
    """Return by how much logits differ at most, as a share of their spread; what is not a number is like itself."""
    one, other = (logits.nan_to_num(0.0, 0.0, 0.0) for logits in (one, other))
    spread = one.std(1).clamp_min(1e-6)
    return float(((one - other).square().mean(1).sqrt() / spread).max())
