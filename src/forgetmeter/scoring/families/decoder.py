"""Scoring with decoders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Cloze, Item, Problem, Requests, WholeText
from forgetmeter.scoring.asked import (
    TOO_LONG,
    Asked,
    answered_at_blank,
    asked_at_blank,
    embedded_tokens,
    questions_of,
)
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.batch_invariance.limits import max_length
from forgetmeter.scoring.question import Prepared
from forgetmeter.scoring.rows.batch import Batch, make_batch
from forgetmeter.scoring.rows.prefix_tree import WantedSequence, group_rows, pack
from forgetmeter.scoring.tokens.answer_tokens import AnswersWritten, ClozeTokens
from forgetmeter.scoring.tokens.tokenization import (
    NO_TOKENS,
    answer_token,
    beginning,
    is_by_word,
    tokenize_requests,
    tokenize_statements,
)

_NOTHING_FOLLOWS = ("", ".", "!", "?")


class DecoderScoring:
    """Scores with a decoder, packing sequences with common prefixes into rows.

    For a cloze, each candidate's whole statement is scored, after the tokenizer's ``beginning``. If the blank ends
    the text, the next token is also ranked in the vocabulary. If only the answers compete, each is scored after the
    text before the blank (see ``AnswersWritten``). A text is scored whole, after the same tokens, in windows if it is
    longer than the model reads.

    Attributes:
        sharing: What rows may share.

    Args:
        beside: Another decoder with the same tokens, which reads the same batches.

    Raises:
        UserError: The model cannot be scored; see ``find_sharing``.
    """

    def __init__(self, loaded: Loaded, *, batch_tokens: int, beside: Loaded | None = None) -> None:
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self.batch_tokens = batch_tokens
        self._max_length = max_length(loaded.model, loaded.tokenizer, loaded.name)
        self._embedded = embedded_tokens(loaded.model, loaded.tokenizer)
        self._beginning = len(beginning(loaded.tokenizer))
        self.forward = run_decoder
        end = loaded.tokenizer.eos_token_id
        ends = () if end is None else (int(end),)
        self._written = AnswersWritten(self._tokenize, ends, is_by_word=is_by_word(loaded.tokenizer))
        self.sharing, self.text_sharing = find_sharing(loaded, run_decoder, longest=self._max_length)
        if beside is not None:
            other = DecoderScoring(beside, batch_tokens=batch_tokens)
            self._max_length = min(self._max_length, other._max_length)
            self._embedded = min(self._embedded, other._embedded, key=lambda tokens: tokens.rows)
            self.sharing = self.sharing.within(other.sharing)

    def prepare(self, items: Sequence[Item]) -> Prepared:
        """Tokenize and batch items.

        Raises:
            UserError: The tokenizer has no token to begin a sequence with.
        """
        written = iter(self._written.of(answered_at_blank(items)))
        asked = [self._embedded.only(self._asked(item, written)) for item in items]
        packed = pack([sequence for each in asked for sequence in each.sequences], sharing=self.sharing)
        groups = group_rows(packed.rows, batch_tokens=self.batch_tokens, sharing=self.sharing)
        return Prepared(
            questions=questions_of(asked, packed.paths),
            reasons=tuple(each.reason for each in asked),
            cut=sum(each.is_cut for each in asked),
            batches=tuple(make_batch(rows, device=self._model.device) for rows in groups),
        )

    def _tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return tokenize_statements(texts, self._tokenizer)

    def _asked(self, item: Item, written: Iterator[ClozeTokens]) -> Asked:
        match item.asks:
            case Requests():
                return self._requests(item.asks)
            case Cloze(among="answers"):
                return self._answers(next(written))
            case Cloze():
                return self._statements(item, item.asks)
            case WholeText(text, window):
                return self._text(text, window)
            case Problem(reason):
                return Asked(reason=reason)
            case _:
                raise TypeError(f"item '{item.id}' is not answered by log-likelihoods")

    def _statements(self, item: Item, cloze: Cloze) -> Asked:
        statements = [cloze.filled(choice) for choice in item.choices]
        sequences = [WantedSequence(ids, self._beginning) for ids in tokenize_statements(statements, self._tokenizer)]
        if any(len(sequence.tokens) > self._max_length + 1 for sequence in sequences):
            return Asked(reason=TOO_LONG)
        next_token = self._next_token(cloze, item.choices[item.gold[0]])
        return Asked((*sequences, *next_token), ranks_vocabulary=bool(next_token), kind="cloze")

    def _text(self, text: str, window: int | None) -> Asked:
        (tokens,) = tokenize_statements([text], self._tokenizer)
        most = min(self._max_length, window or self._max_length)
        windows = tuple(rolling_windows(tokens, context=self._beginning, window=most))
        return Asked(windows, kind="text") if windows else Asked(reason=NO_TOKENS)

    def _answers(self, written: ClozeTokens) -> Asked:
        if len(written.before) + written.tree.longest > self._max_length + 1:
            return Asked(reason=TOO_LONG)
        return asked_at_blank(written.before, written.tree)

    def _requests(self, requests: Requests) -> Asked:
        tokenized = tokenize_requests(requests, self._tokenizer, max_length=self._max_length)
        if isinstance(tokenized, str):
            return Asked(reason=tokenized)
        sequences = (
            WantedSequence((*each.inputs, each.targets[-1]), len(each.inputs) - len(each.targets) + 1)
            for each in tokenized
        )
        return Asked(tuple(sequences), is_cut=any(each.is_cut for each in tokenized))

    def _next_token(self, cloze: Cloze, answer: str) -> list[WantedSequence]:
        token = answer_token(cloze, answer, self._tokenizer)
        if cloze.after.strip() not in _NOTHING_FOLLOWS or token is None or not cloze.before.strip():
            return []
        before = tokenize_statements([cloze.before.rstrip()], self._tokenizer)[0]
        return [WantedSequence((*before, token), len(before), ranks_vocabulary=True)]


def rolling_windows(tokens: Sequence[int], *, context: int = 1, window: int) -> Iterator[WantedSequence]:
    """Yield the windows in which lm-evaluation-harness reads a text (``get_rolling_token_windows``, 0.4.13).

    Each window predicts ``window`` tokens, the first of them from a single token (``context_len=1``); the last window
    has the same length but predicts only the remaining tokens.

    Args:
        tokens: Token ids: the beginning, such as a beginning-of-sequence token, then the tokens to score.
        context: Number of tokens of the beginning.
        window: Maximum number of tokens the model reads, at least 1.
    """
    end = context
    # A long beginning takes room from the tokens predicted in the first window.
    after = max(window + 1, context + 1)
    while end < len(tokens):
        first, end, after = end, min(after, len(tokens)), after + window
        # The last token of a window is predicted, not read.
        begin = max(0, end - window - 1)
        yield WantedSequence(tuple(tokens[begin:end]), first - begin)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def run_decoder(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Run a decoder on a batch; right padding needs no mask."""
    given: dict[str, Any] = {}
    if batch.visible is not None:
        floor = torch.finfo(model.dtype).min
        given["attention_mask"] = torch.where(batch.visible, 0.0, floor).to(model.dtype)
        given["position_ids"] = batch.positions
    logits: Tensor = model(input_ids=batch.tokens, use_cache=False, **given).logits
    return logits
