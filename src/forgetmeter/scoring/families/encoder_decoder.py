"""Scoring with encoder-decoders."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from forgetmeter.errors import UserError
from forgetmeter.models.checks.token_ids import decoder_start
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Cloze, Item, Problem, Requests
from forgetmeter.scoring.asked import (
    NOT_ONE_TOKEN,
    TOO_LONG,
    Asked,
    answered_at_blank,
    asked_at_blank,
    embedded_tokens,
    questions_of,
    unsupported_reason,
)
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.batch_invariance.limits import Sharing, max_length
from forgetmeter.scoring.families.blank_filling import blank_filling
from forgetmeter.scoring.question import Prepared
from forgetmeter.scoring.rows.batch import Batch, TokenRow, make_batch
from forgetmeter.scoring.rows.prefix_tree import WantedSequence, least_padded, pack
from forgetmeter.scoring.tokens.answer_tokens import ClozeTokens, Tokens
from forgetmeter.scoring.tokens.tokenization import answer_token, tokenize_pairs


class EncoderDecoderScoring:
    """Scores with an encoder-decoder, encoding each text once per batch. Encoder tokens count as batch tokens.

    Continuations are tokenized and scored as in lm-evaluation-harness; clozes use the format the model was trained on
    (see ``blank_filling``).

    Raises:
        UserError: The model cannot be scored; see ``find_sharing``.
    """

    def __init__(self, loaded: Loaded, *, batch_tokens: int) -> None:
        _unpack(loaded.model)
        self._loaded = loaded
        self._tokenizer = loaded.tokenizer
        self.batch_tokens = batch_tokens
        self._max_length, self._max_written = (
            max_length(loaded.model, loaded.tokenizer, loaded.name, part=part)
            for part in (loaded.model.get_encoder(), loaded.model.get_decoder())
        )
        self._filling = blank_filling(loaded.tokenizer)
        self._embedded = embedded_tokens(loaded.model, loaded.tokenizer)
        self._start = decoder_start(loaded.model, loaded.name)
        self.forward = run_encoder_decoder
        self._padding = loaded.tokenizer.pad_token_id or 0
        self.sharing, self.text_sharing = find_sharing(
            loaded,
            run_encoder_decoder,
            longest=self._max_written,
            longest_text=self._max_length,
            padding=self._padding,
        )

    def prepare(self, items: Sequence[Item]) -> Prepared:
        """Tokenize and batch items.

        Raises:
            UserError: An item needs perplexity, or a blank that the tokenizer cannot mark.
        """
        if reason := unsupported_reason(items, "encoder-decoder", self._tokenizer):
            raise UserError(f"model '{self._loaded.name}' {reason}")
        contexts: dict[Tokens, int] = {}
        asked = self._asked(items, contexts)
        texts = tuple(contexts)
        asked = [self._embedded.only(each, *(texts[one.context] for one in each.sequences)) for each in asked]
        # Relative positions rule out branches, so a row holds a single path.
        packed = pack([sequence for each in asked for sequence in each.sequences], sharing=self.sharing)
        device = self._loaded.model.device
        return Prepared(
            questions=questions_of(asked, packed.paths),
            reasons=tuple(each.reason for each in asked),
            cut=sum(each.is_cut for each in asked),
            batches=tuple(
                make_batch(rows, device=device, padding=self._padding, contexts=texts)
                for rows in _groups(packed.rows, texts, self.batch_tokens, self.sharing, self.text_sharing)
            ),
        )

    def _asked(self, items: Sequence[Item], contexts: dict[Tokens, int]) -> list[Asked]:
        clozes = [item.asks for item in items if isinstance(item.asks, Cloze)]
        texts = iter(self._filling.contexts(clozes) if self._filling is not None else ())
        written = iter(self._filling.written(answered_at_blank(items)) if self._filling is not None else ())

        def asked(item: Item) -> Asked:
            match item.asks:
                case Requests():
                    return self._requests(item.asks, contexts)
                case Cloze(among="answers"):
                    return self._answers(next(texts), next(written), contexts)
                case Cloze():
                    return self._cloze(item, item.asks, next(texts), contexts)
                case Problem(reason):
                    return Asked(reason=reason)
                case _:
                    raise TypeError(f"item '{item.id}' cannot be scored by an encoder-decoder")

        return list(map(asked, items))

    def _answers(self, text: Tokens, written: ClozeTokens, contexts: dict[Tokens, int]) -> Asked:
        before = (self._start, *written.before)
        if self._is_too_long(text, len(before) + written.tree.longest):
            return Asked(reason=TOO_LONG)
        return asked_at_blank(before, written.tree, context=contexts.setdefault(text, len(contexts)))

    def _requests(self, requests: Requests, contexts: dict[Tokens, int]) -> Asked:
        pairs = tokenize_pairs(requests, self._tokenizer, max_length=self._max_length, max_written=self._max_written)
        if isinstance(pairs, str):
            return Asked(reason=pairs)
        sequences = (
            WantedSequence((self._start, *each.targets), 1, context=contexts.setdefault(each.inputs, len(contexts)))
            for each in pairs
        )
        return Asked(tuple(sequences), is_cut=any(each.is_cut for each in pairs))

    def _cloze(self, item: Item, cloze: Cloze, text: Tokens, contexts: dict[Tokens, int]) -> Asked:
        assert self._filling is not None
        if cloze.among == "candidates":
            written = [self._filling.with_answer(cloze, choice) for choice in item.choices]
            if self._is_too_long(text, 1 + max(len(ids) for ids, _ in written)):
                return Asked(reason=TOO_LONG)
            context = contexts.setdefault(text, len(contexts))
            sequences = (WantedSequence((self._start, *ids), 1 + first, context=context) for ids, first in written)
            return Asked(tuple(sequences), kind="cloze")
        token = answer_token(cloze, item.choices[item.gold[0]], self._tokenizer)
        if token is None:
            return Asked(reason=NOT_ONE_TOKEN)
        before = (self._start, *self._filling.before_answer(cloze))
        if self._is_too_long(text, len(before) + 1):
            return Asked(reason=TOO_LONG)
        context = contexts.setdefault(text, len(contexts))
        wanted = WantedSequence((*before, token), len(before), ranks_vocabulary=True, context=context)
        return Asked((wanted,), ranks_vocabulary=True, kind="cloze")

    def _is_too_long(self, text: Tokens, written: int) -> bool:
        """Whether a text, or ``written`` tokens of the decoder, the last of which is not read, exceed the model."""
        return len(text) > self._max_length or written - 1 > self._max_written


def _unpack(model: PreTrainedModel) -> None:
    """Unpack weights of compressed-tensors, which does so in the first pass of the whole model: too late here.

    Its layers would also turn the encoder's output into a plain dict.
    """
    hook = getattr(model, "ct_decompress_hook", None)
    if hook is not None:
        model._forward_pre_hooks[hook.id](model, ())
        import_module("compressed_tensors.offload").remove_dispatch(model, onload_tensors=True)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def run_encoder_decoder(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Run an encoder-decoder on a batch: the encoder once per text, the decoder once per row."""
    encoded = batch.encoded
    assert encoded is not None
    outputs = model.get_encoder()(input_ids=encoded.tokens, attention_mask=encoded.mask)
    states = outputs.last_hidden_state
    of_rows = states[encoded.rows]
    with _projecting_once(model, states, of_rows, encoded.rows):
        logits: Tensor = model(
            # Not encoded again, but FSMT needs them to build its causal mask.
            input_ids=encoded.tokens[encoded.rows],
            # The encoder's own output type, because decoders with experts read extra fields.
            encoder_outputs=type(outputs)(last_hidden_state=of_rows),
            attention_mask=encoded.mask[encoded.rows],
            decoder_input_ids=batch.tokens,
            use_cache=False,
        ).logits
    return logits


@contextmanager
def _projecting_once(model: PreTrainedModel, texts: Tensor, of_rows: Tensor, rows: Tensor) -> Iterator[None]:
    """Have linear layers that read each row's text, ``texts[rows]``, read each text once: keys and values of it."""

    def read_texts(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (texts, *inputs[1:]) if inputs and inputs[0] is of_rows else inputs

    def repeat(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        return outputs[rows] if inputs and inputs[0] is texts else outputs

    # Others, such as dynamic int8, may not process positions independently.
    linear = [each for each in model.modules() if type(each) is nn.Linear] if len(rows) > len(texts) else []
    hooks = [each.register_forward_pre_hook(read_texts) for each in linear]
    hooks += [each.register_forward_hook(repeat) for each in linear]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _groups(
    rows: Sequence[TokenRow], contexts: Sequence[Tokens], batch_tokens: int, sharing: Sharing, text_sharing: Sharing
) -> list[list[TokenRow]]:
    """Group rows within the token budget and what they may share: by the length of their texts, or of answers to them.

    Of both orders, in which rows of the same text are adjacent, the one with less padding is chosen.
    """
    longest: dict[int, int] = {}
    for row in rows:
        longest[row.context] = max(len(row.tokens), longest.get(row.context, 0))

    def by_text(row: TokenRow) -> tuple[int, ...]:
        return -len(contexts[row.context]), row.context, -len(row.tokens)

    def by_answer(row: TokenRow) -> tuple[int, ...]:
        return -longest[row.context], *by_text(row)

    found = []
    for order in (by_text, by_answer):
        ordered = sorted(rows, key=order)
        positions = partial(_positions, ordered, contexts, batch_tokens, sharing, text_sharing)
        cost, batches = least_padded(len(ordered), positions, batch_tokens=batch_tokens)
        found.append((cost, [ordered[start:end] for start, end in batches]))
    return min(found, key=lambda each: each[0])[1]


def _positions(
    ordered: Sequence[TokenRow],
    contexts: Sequence[Tokens],
    batch_tokens: int,
    sharing: Sharing,
    text_sharing: Sharing,
    end: int,
) -> NDArray[np.int64]:
    """Return the positions of the batches that may end at a place, as ``least_padded`` takes them."""
    found: list[int] = []
    texts: set[int] = set()
    longest = longest_text = 0
    shortest = shortest_text = sys.maxsize
    for start in range(end - 1, -1, -1):
        row, text = len(ordered[start].tokens), len(contexts[ordered[start].context])
        texts.add(ordered[start].context)
        longest, shortest = max(longest, row), min(shortest, row)
        longest_text, shortest_text = max(longest_text, text), min(shortest_text, text)
        size = longest_text * len(texts) + longest * (end - start)
        is_allowed = (
            size <= batch_tokens
            and sharing.allows(longest, shortest)
            and (len(texts) == 1 or text_sharing.allows(longest_text, shortest_text))
        )
        # A row that is too long has a batch of its own.
        if found and not is_allowed:
            break
        found.append(size)
    return np.array(found[::-1], dtype=np.int64)
