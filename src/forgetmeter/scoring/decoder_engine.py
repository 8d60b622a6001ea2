"""Log-likelihoods from a decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Item, RequestScore
from forgetmeter.scoring.batch import Batch, make_batch
from forgetmeter.scoring.packing import Row, batches, pack_item
from forgetmeter.scoring.tokenization import TokenizedRequest, tokenize_requests

# Measured on 2 cores (docs/decisions/002-own-scoring-lm-evals-tasks.md); on a GPU untried.
_AUTO_BATCH_TOKENS = {"cpu": 1024}
_AUTO_BATCH_TOKENS_ELSEWHERE = 16384
_LONGEST_BRANCHED_ROW = 1024
_LOGITS_AT_ONCE = 1 << 22
_UNKNOWN_LENGTH = 1 << 20


@dataclass(frozen=True)
class Prepared:
    """The items of one task, tokenized and batched once for all variants of a model.

    Attributes:
        counts: Number of requests of each item, in order.
        batches: What the model is given.
    """

    counts: tuple[int, ...]
    batches: tuple[Batch, ...]

    @property
    def tokens(self) -> int:
        """Number of tokens that the model reads, without padding."""
        return sum(batch.real_tokens for batch in self.batches)


class DecoderEngine:
    """Scores requests with a decoder: right-padded batches by token budget, logits only where they are read.

    Args:
        loaded: The model; recipes may be applied to it between calls of ``score``.
        batch_tokens: The most tokens in a batch, padding included; ``None`` for a value that suits the device.
    """

    def __init__(self, loaded: Loaded, *, batch_tokens: int | None = None) -> None:
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        device = loaded.model.device.type
        self._batch_tokens = batch_tokens or _AUTO_BATCH_TOKENS.get(device, _AUTO_BATCH_TOKENS_ELSEWHERE)
        self._max_length = _max_length(loaded)
        self._longest_row = min(_LONGEST_BRANCHED_ROW, _window(loaded.model)) if can_branch(loaded.model) else None

    def prepare(self, items: Sequence[Item]) -> Prepared:
        """Tokenize and batch items.

        Raises:
            UserError: A request does not fit the model.
        """
        requests = [request for item in items for request in item.requests]
        tokenized = tokenize_requests(requests, self._tokenizer, max_length=self._max_length)
        rows: list[Row] = []
        start = 0
        for item in items:
            stop = start + len(item.requests)
            rows.extend(pack_item(list(enumerate(tokenized[start:stop], start)), longest_row=self._longest_row))
            start = stop
        grouped = batches(rows, batch_tokens=self._batch_tokens)
        device = self._model.device
        return Prepared(
            tuple(len(item.requests) for item in items),
            tuple(make_batch(group, device=device) for group in grouped),
        )

    def score(
        self, prepared: Prepared, *, on_advance: Callable[[float], None] | None = None
    ) -> list[list[RequestScore]]:
        """Score prepared items with the model as it is now.

        Args:
            prepared: What to score.
            on_advance: Is told after each batch what share of the tokens is done, from 0 to 1.

        Returns:
            For each item, the scores of its requests, in order.
        """
        total = sum(prepared.counts)
        loglikelihoods = torch.zeros(total, dtype=torch.float64)
        greedy = torch.ones(total, dtype=torch.bool)
        done = 0
        for batch in prepared.batches:
            logprobs, hits = target_logprobs(self._model, batch)
            owners = batch.owners.cpu()
            loglikelihoods.index_add_(0, owners, logprobs.double().cpu())
            greedy[owners[~hits.cpu()]] = False
            done += batch.real_tokens
            if on_advance is not None:
                on_advance(done / prepared.tokens)
        scores = iter(zip(loglikelihoods.tolist(), greedy.tolist(), strict=True))
        return [[RequestScore(*pair) for pair in islice(scores, count)] for count in prepared.counts]


@torch.inference_mode()  # type: ignore[untyped-decorator]
def target_logprobs(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Run a batch and read the wanted log-probabilities.

    Returns:
        Log-probabilities in nats, float32, of shape ``(wanted,)``, and whether each target is the most likely
        token, bool, of the same shape.
    """
    head = model.get_output_embeddings()

    # The head sees the wanted positions alone; whatever the model does to logits after it stays in force.
    def only_wanted(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][batch.rows, batch.places][None], *inputs[1:])

    def only_wanted_outputs(_: nn.Module, __: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        return outputs[batch.rows, batch.places][None]

    given: dict[str, Any] = {}
    if batch.mask is not None:
        floor = torch.finfo(model.dtype).min
        given["attention_mask"] = torch.where(batch.mask, 0.0, floor).to(model.dtype)
        given["position_ids"] = batch.positions
    if type(head) is nn.Linear:
        hook = head.register_forward_pre_hook(only_wanted)
    else:
        # Of another kind of head it is not known that it takes each position by itself; dynamic int8 does not.
        hook = head.register_forward_hook(only_wanted_outputs)
    try:
        logits = model(input_ids=batch.tokens, use_cache=False, **given).logits[0]
    finally:
        hook.remove()
    step = max(1, _LOGITS_AT_ONCE // logits.shape[-1])
    parts = [_read(part, targets) for part, targets in zip(logits.split(step), batch.targets.split(step), strict=True)]
    return torch.cat([logprobs for logprobs, _ in parts]), torch.cat([hits for _, hits in parts])


def _read(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.float()
    wanted = logits.gather(1, targets[:, None])[:, 0]
    return wanted - logits.logsumexp(1), logits.argmax(1) == targets


@torch.inference_mode()  # type: ignore[untyped-decorator]
def can_branch(model: PreTrainedModel) -> bool:
    """Whether the model gives branches of one row what it gives them in rows of their own.

    Tried on the model itself, as it depends on how an architecture uses masks and positions.
    """
    vocabulary = int(model.config.get_text_config().vocab_size)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (11,), generator=generator).tolist()
    prefix, ends = tokens[:5], (tokens[5:8], tokens[8:])
    requests = [*enumerate(TokenizedRequest((*prefix, *end[:-1]), tuple(end)) for end in ends)]
    try:
        together, apart = (
            _logprobs_by_owner(model, pack_item(requests, longest_row=longest)) for longest in (1024, None)
        )
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.05
    return bool(torch.allclose(together, apart, rtol=tolerance, atol=tolerance))


def _logprobs_by_owner(model: PreTrainedModel, rows: list[Row]) -> Tensor:
    batch = make_batch(rows, device=model.device)
    logprobs, _ = target_logprobs(model, batch)
    return logprobs[batch.owners.argsort(stable=True)]


def _max_length(loaded: Loaded) -> int:
    """The most tokens that the model reads: of its configuration, else of its tokenizer."""
    config = loaded.model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        if getattr(config, name, None):
            return int(getattr(config, name))
    return int(min(loaded.tokenizer.model_max_length, _UNKNOWN_LENGTH))


def _window(model: PreTrainedModel) -> int:
    """The most tokens over which attention is plain: branched rows must not be longer."""
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    return int(window) if window else _UNKNOWN_LENGTH
