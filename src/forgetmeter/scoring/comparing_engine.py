"""The engine that compares a model's predictions of texts with those of another model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from forgetmeter.basics.quiet import quiet
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Answer, ComparedAnswer
from forgetmeter.scoring.engine import Engine, in_slot_order
from forgetmeter.scoring.families.decoder import DecoderScoring
from forgetmeter.scoring.question import Prepared, Question
from forgetmeter.scoring.rows.batch import Batch
from forgetmeter.scoring.rows.comparing import ComparedTokens, compare, compare_with_itself


class ComparingEngine(Engine):
    """Compares a decoder with its baseline: both read the same batches, and each batch's logits are compared at once.

    Items are ``ComparedText``, and answers ``ComparedAnswer``. No logits are kept beyond their batch.

    Args:
        loaded: The model; recipes may be applied to it between calls of ``score``.
        baseline: A decoder with the same vocabulary, to which nothing is applied. Without it, the model is compared
            with itself, read in batches of another shape: the divergence is then what rounding alone causes.
        batch_tokens: As for ``Engine``.
    """

    @quiet()
    def __init__(self, loaded: Loaded, baseline: Loaded | None, *, batch_tokens: int | None = None) -> None:
        if baseline is not None:
            # Both read the same tokens, even where the candidate's tokenizer splits a text differently.
            loaded = replace(loaded, tokenizer=baseline.tokenizer)
        super().__init__(loaded, batch_tokens=batch_tokens)
        self._baseline = None if baseline is None else baseline.model
        self._scoring = self._decoder = DecoderScoring(loaded, batch_tokens=self.batch_tokens, beside=baseline)

    def _compare(self, batch: Batch) -> ComparedTokens:
        forward = self._decoder.forward
        found: ComparedTokens = (
            compare_with_itself(self._model, batch, forward, self._decoder.sharing)
            if self._baseline is None
            else compare(self._model, self._baseline, batch, forward)
        )
        return found

    def _read(self, prepared: Prepared, on_advance: Callable[[float], None] | None = None) -> list[Answer | None]:
        found: list[ComparedTokens] = []
        done = 0
        for batch in prepared.batches:
            with quiet():
                found.append(self._compare(batch))
            done += batch.real_tokens
            if on_advance is not None:
                on_advance(done / prepared.tokens)
        slots = [batch.single.slots.cpu() for batch in prepared.batches]

        def ordered(name: str) -> Tensor:
            return in_slot_order([getattr(each, name) for each in found], slots)

        tokens = ComparedTokens(*map(ordered, ("divergences", "agreements", "logprobs", "baseline_logprobs")))
        return [None if question is None else _answer(tokens, question) for question in prepared.questions]


def _answer(tokens: ComparedTokens, question: Question) -> ComparedAnswer:
    slots = torch.from_numpy(question.slots)
    return ComparedAnswer(
        divergences=tuple(tokens.divergences[slots].tolist()),
        agreements=tuple(tokens.agreements[slots].tolist()),
        logprobs=tuple(tokens.logprobs[slots].tolist()),
        baseline_logprobs=tuple(tokens.baseline_logprobs[slots].tolist()),
    )
