"""Scoring with masked language models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel

from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Cloze, Item, Problem
from forgetmeter.scoring.asked import (
    BEYOND_EMBEDDING,
    NOT_ONE_TOKEN,
    TOO_LONG,
    embedded_tokens,
    question_of_tree,
    unsupported_reason,
)
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.batch_invariance.limits import max_length
from forgetmeter.scoring.question import Prepared, Question, question_of_paths
from forgetmeter.scoring.rows.batch import Batch, Reading, Spread, TokenRow, make_batch
from forgetmeter.scoring.rows.prefix_tree import group_rows
from forgetmeter.scoring.tokens.answer_tokens import AnswersAlone, AnswerTree, answer_tree
from forgetmeter.scoring.tokens.tokenization import NO_TOKENS, answer_token


class _Drafts:
    """Rows under construction; repeated sequences are read only once."""

    def __init__(self) -> None:
        self.slots = self.vocabulary_slots = 0
        self._single: dict[tuple[int, ...], list[Reading]] = {}
        self._vocabulary: dict[tuple[int, ...], list[Reading]] = {}
        self._spreads: dict[tuple[int, ...], list[Spread]] = {}

    def ask_token(self, tokens: tuple[int, ...], place: int, target: int) -> int:
        """Request a token's log-probability at a position; return its slot."""
        readings = self._single.setdefault(tokens, [])
        for reading in readings:
            if (reading.place, reading.target) == (place, target):
                return reading.slot
        readings.append(Reading(place, target, self.slots))
        self.slots += 1
        return self.slots - 1

    def ask_tokens(self, tokens: tuple[int, ...], place: int, targets: tuple[int, ...]) -> int:
        """Request several tokens' log-probabilities at a position; return the slot of the first."""
        self._spreads.setdefault(tokens, []).append(Spread(place, targets, self.slots))
        self.slots += len(targets)
        return self.slots - len(targets)

    def ask_vocabulary(self, tokens: tuple[int, ...], place: int, target: int) -> int:
        """Request a ranking of the vocabulary at a position; return its slot."""
        self._vocabulary.setdefault(tokens, []).append(Reading(place, target, self.vocabulary_slots))
        self.vocabulary_slots += 1
        return self.vocabulary_slots - 1

    def rows(self) -> list[TokenRow]:
        sequences = dict.fromkeys([*self._single, *self._vocabulary, *self._spreads])
        return [
            TokenRow(
                tokens,
                readings=tuple(self._single.get(tokens, ())),
                vocabulary=tuple(self._vocabulary.get(tokens, ())),
                spreads=tuple(self._spreads.get(tokens, ())),
            )
            for tokens in sequences
        ]


class EncoderScoring:
    """Scores with a masked language model.

    A vocabulary cloze is answered at one mask. A whole statement is scored by pseudo-log-likelihood: the sum of its
    tokens' log-probabilities, each with the token and later tokens of its word masked (Kauf and Ivanova, "A better way
    to do masked language model scoring", ACL 2023, arXiv 2305.10588). If only the answers compete, each gets as many
    masks as it has tokens, and its score is the sum of their log-probabilities, filled in from left to right.

    Raises:
        UserError: The model cannot be scored; see ``find_sharing``.
    """

    def __init__(self, loaded: Loaded, *, batch_tokens: int) -> None:
        self._loaded = loaded
        self._tokenizer = loaded.tokenizer
        self.batch_tokens = batch_tokens
        self._max_length = max_length(loaded.model, loaded.tokenizer, loaded.name)
        self._embedded = embedded_tokens(loaded.model, loaded.tokenizer)
        self._answers = AnswersAlone(loaded.tokenizer, _tree_by_length)
        self.forward = run_encoder
        self._padding = loaded.tokenizer.pad_token_id or 0
        self.sharing, self.text_sharing = find_sharing(
            loaded, run_encoder, longest=self._max_length, padding=self._padding
        )

    def prepare(self, items: Sequence[Item]) -> Prepared:
        """Tokenize and batch items.

        Raises:
            UserError: The tokenizer has no mask, or the items are continuations, which such a model cannot score.
        """
        if reason := unsupported_reason(items, "encoder", self._tokenizer):
            raise UserError(f"model '{self._loaded.name}' {reason}")
        drafts = _Drafts()
        masked = iter(self._with_mask(items))
        asked = [self._question(item, drafts, masked) for item in items]
        groups = group_rows(drafts.rows(), batch_tokens=self.batch_tokens, sharing=self.sharing)
        device = self._loaded.model.device
        return Prepared(
            questions=tuple(each if isinstance(each, Question) else None for each in asked),
            reasons=tuple(each if isinstance(each, str) else None for each in asked),
            batches=tuple(make_batch(rows, device=device, padding=self._padding) for rows in groups),
        )

    def _question(self, item: Item, drafts: _Drafts, masked: Iterator[tuple[int, ...]]) -> Question | str:
        """Add an item to the drafts; return its question, or why it cannot be scored."""
        match item.asks:
            case Cloze(among="vocabulary"):
                return self._at_mask(item.asks, item.choices[item.gold[0]], drafts, next(masked))
            case Cloze(among="answers"):
                return self._at_masks(self._answers.of(item.asks, item.choices), drafts, next(masked))
            case Cloze():
                return self._statements([item.asks.filled(choice) for choice in item.choices], drafts)
            case Problem(reason):
                return reason
            case _:
                raise TypeError(f"item '{item.id}' cannot be scored by a masked language model")

    def _with_mask(self, items: Sequence[Item]) -> list[tuple[int, ...]]:
        """Return the tokens, with one mask in the blank, of each cloze not scored as whole statements."""
        clozes = [item.asks for item in items if isinstance(item.asks, Cloze) and item.asks.among != "candidates"]
        texts = [cloze.filled(self._tokenizer.mask_token) for cloze in clozes]
        return [tuple(ids) for ids in self._tokenizer(texts, return_attention_mask=False)["input_ids"]] if texts else []

    def _at_mask(self, cloze: Cloze, answer: str, drafts: _Drafts, masked: tuple[int, ...]) -> Question | str:
        token = answer_token(cloze, answer, self._tokenizer)
        if token is None:
            return NOT_ONE_TOKEN
        if len(masked) > self._max_length:
            return TOO_LONG
        if not self._embedded.has((*masked, token)):
            return BEYOND_EMBEDDING
        slot = drafts.ask_vocabulary(masked, masked.index(self._tokenizer.mask_token_id), token)
        return question_of_paths((), vocabulary=slot, kind="cloze")

    def _at_masks(self, tree: AnswerTree, drafts: _Drafts, masked: tuple[int, ...]) -> Question | str:
        if not tree.is_whole:
            return NO_TOKENS
        if len(masked) - 1 + tree.longest > self._max_length:
            return TOO_LONG
        if not self._embedded.has(masked, *((*each.tokens, *each.ends) for each in tree.branchings)):
            return BEYOND_EMBEDDING
        mask = self._tokenizer.mask_token_id
        place = masked.index(mask)
        firsts = []
        for branching in tree.branchings:
            left = (mask,) * (branching.room - len(branching.tokens))
            tokens = (*masked[:place], *branching.tokens, *left, *masked[place + 1 :])
            firsts.append(drafts.ask_tokens(tokens, place + len(branching.tokens), branching.ends))
        return question_of_tree(tree, firsts)

    def _statements(self, statements: Sequence[str], drafts: _Drafts) -> Question | str:
        encoding = self._tokenizer(list(statements), return_special_tokens_mask=True)
        if any(len(ids) > self._max_length for ids in encoding["input_ids"]):
            return TOO_LONG
        if not self._embedded.has(*encoding["input_ids"]):
            return BEYOND_EMBEDDING
        mask = self._tokenizer.mask_token_id
        passes = (masked_passes(encoding, number, mask) for number in range(len(statements)))
        paths = tuple(tuple(drafts.ask_token(*one) for one in of_statement) for of_statement in passes)
        return question_of_paths(paths, kind="cloze")


def _tree_by_length(answers: Sequence[tuple[int, ...]]) -> AnswerTree:
    return answer_tree(answers, rooms=[len(answer) for answer in answers])


def masked_passes(encoding: BatchEncoding, number: int, mask: int) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Yield the forward passes of a statement's pseudo-log-likelihood.

    Args:
        encoding: Tokenized statements, with their special tokens mask.
        number: Index of the statement.
        mask: Token id of the mask.

    Yields:
        The tokens of a pass, the position to read, and the token to score there.
    """
    ids, special = encoding["input_ids"][number], encoding["special_tokens_mask"][number]
    words = encoding.word_ids(number)
    for place, token in enumerate(ids):
        if special[place]:
            continue
        tokens = list(ids)
        tokens[place] = mask
        for later in range(place + 1, len(ids)):
            if special[later] or words[place] is None or words[later] != words[place]:
                break
            tokens[later] = mask
        yield tuple(tokens), place, token


@torch.inference_mode()  # type: ignore[untyped-decorator]
def run_encoder(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Run a masked language model on a batch."""
    given: dict[str, Any] = {} if batch.mask is None else {"attention_mask": batch.mask}
    logits: Tensor = model(input_ids=batch.tokens, **given).logits
    return logits
