"""Whether a decoder can be given several branches in one row."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from forgetmeter.scoring.batch import make_batch
from forgetmeter.scoring.prefix_tree import WantedSequence, pack
from forgetmeter.scoring.reading import Forward, read


def can_branch(model: PreTrainedModel, forward: Forward) -> bool:
    """Whether the model gives branches of one row what it gives them in rows of their own.

    Tried on the model itself, as it depends on how an architecture uses masks and positions.
    """
    vocabulary = int(model.config.get_text_config().vocab_size)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (14,), generator=generator).tolist()
    # Ends of one length: without padding, layers that look at a whole batch at a time (dynamic int8) see the same.
    prefix, ends = tokens[:5], (tokens[5:8], tokens[8:11], tokens[11:])
    sequences = [WantedSequence((*prefix, *end), len(prefix)) for end in ends]
    try:
        together, apart = (_loglikelihoods(model, sequences, forward, longest_row=longest) for longest in (64, None))
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.05
    return bool(torch.allclose(together, apart, rtol=tolerance, atol=tolerance))


def _loglikelihoods(
    model: PreTrainedModel, sequences: list[WantedSequence], forward: Forward, *, longest_row: int | None
) -> torch.Tensor:
    packed = pack(sequences, longest_row=longest_row)
    batch = make_batch(packed.rows, device=model.device)
    logprobs = torch.zeros(packed.slots, dtype=torch.float64)
    logprobs[batch.single.slots.cpu()] = read(model, batch, forward).tokens.logprobs
    return torch.stack([logprobs[list(path)].sum() for path in packed.paths])
