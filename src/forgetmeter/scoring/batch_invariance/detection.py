"""Detects on a model itself which texts may share a row or batch (docs/decisions/022-what-texts-may-share.md)."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from forgetmeter.errors import UserError, one_line
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.on_disk.quantization import may_share_ranges, quantization_in_memory
from forgetmeter.scoring.batch_invariance.limits import (
    UNKNOWN_LENGTH,
    Sharing,
    batch_independent_length,
    length_before_blocks,
    shares_expert_capacity,
    unset_hashing,
    unverified_window,
    window,
)
from forgetmeter.scoring.batch_invariance.quantized_activations import activations_not_quantized, sharing_of_rounded
from forgetmeter.scoring.batch_invariance.trial import FAILURES, Text, Trial, drawing
from forgetmeter.scoring.rows.prefix_tree import LONGEST_ROW
from forgetmeter.scoring.rows.reading import Forward
from forgetmeter.scoring.tokens.answer_tokens import Tokens

_LENGTH = 9
"""Number of tokens of an observed text."""
_LONGER_BY = 14
"""Number of extra tokens of the longer text next to it; the total is not a multiple of any block size."""
_BRANCH = 12
"""Number of tokens of the branch next to it."""
_ANSWER = 4
"""Number of tokens written after an observed context."""
_CHEAP = 256
"""Windows of up to this many tokens are also tried with longer texts."""

_known: WeakKeyDictionary[PreTrainedModel, tuple[Sharing, Sharing]] = WeakKeyDictionary()


def find_sharing(
    loaded: Loaded, forward: Forward, *, longest: int, longest_text: int = 0, padding: int = 0
) -> tuple[Sharing, Sharing]:
    """Return what a model's rows may share, and what the texts of an encoder-decoder's encoder may share.

    Each model is tried only once, when it is first used, because its variants are scored in the same batches. A variant
    whose activations are quantized with ranges of their texts shares less (docs/decisions/005-dynamic-int8-ranges.md).

    Args:
        longest: Maximum number of tokens of a row.
        longest_text: Maximum number of tokens of an encoder-decoder's encoder; by default that of a row.
        padding: The padding token.

    Raises:
        UserError: The model cannot run on token ids alone, is not deterministic, has an output head that cannot be
            read at single positions, or should be causal but sees later tokens.
    """
    model = loaded.model
    if model.device.type == "meta":
        # Without weights, tokens are only counted, as for a model that can share everything.
        return Sharing(min(LONGEST_ROW, longest) if loaded.family == "decoder" else 0), Sharing()
    if model not in _known:
        with torch.inference_mode(), activations_not_quantized(model):
            trials = _Trials(loaded, Trial(model, forward, padding=padding), longest=longest)
            _known[model] = trials.rows(), trials.texts(longest_text or longest)
    rows, texts = _known[model]
    limit = sharing_of_rounded(loaded, Trial(model, forward, padding=padding), longest=longest)
    return rows.within(limit), texts.within(limit)


def find_context_sharing(loaded: Loaded, forward: Forward, *, longest: int) -> Sharing:
    """Return what contexts may share that a decoder continues: a batch, padded at the left, or of equal lengths.

    Args:
        longest: Maximum number of tokens of a row.
    """
    model = loaded.model
    if model.device.type == "meta":
        return Sharing()
    with torch.inference_mode(), activations_not_quantized(model):
        trials = _Trials(loaded, Trial(model, forward, padding=0), longest=longest)
        if trials.contexts_hold(longer_by=_LONGER_BY):
            return Sharing(0, length_before_blocks(model))
        return Sharing(0, 0) if trials.contexts_hold(longer_by=0) else Sharing(0, 0, 0)


class _Trials:
    def __init__(self, loaded: Loaded, trial: Trial, *, longest: int) -> None:
        self._loaded = loaded
        self._trial = trial
        self._longest = longest
        self._unverified = unverified_window(loaded.model)
        self._window = min(window(loaded.model), self._unverified)
        self._batch_independent = batch_independent_length(loaded.model)
        self._draw = drawing(loaded.model)
        self._context = self._draw(_LENGTH) if loaded.family == "encoder-decoder" else ()
        self._refuse()

    @property
    def _is_exact(self) -> bool:
        """Whether interference between texts, however small, can be detected."""
        method = quantization_in_memory(self._loaded.model)
        return self._trial.is_exact and (method is None or not may_share_ranges(method))

    def rows(self) -> Sharing:
        found = self._plain(self._row, self._longest)
        if not self._is_exact:
            return found
        before_blocks = length_before_blocks(self._loaded.model)
        branches = min(LONGEST_ROW, self._longest, self._window, found.lengths, before_blocks)
        if self._loaded.family == "decoder" and self._branches_hold(branches):
            return Sharing(branches, found.lengths, found.batch)
        return found

    def texts(self, longest: int) -> Sharing:
        written = self._draw(4)
        return self._plain(lambda tokens: Text(written, context=tokens), longest) if self._context else Sharing()

    def _row(self, tokens: Tokens) -> Text:
        return Text(tokens, self._context)

    def _refuse(self) -> None:
        """Reject a model that cannot be scored at all."""
        if unset := unset_hashing(self._loaded.model):
            raise UserError(
                f"model '{self._loaded.name}' cannot be scored: without {' and '.join(unset)} in its config.json, "
                "which tokens of a long text attend to one another is random, or depends on earlier texts; add the "
                "values that the model was trained with"
            )
        name, tokens = self._loaded.name, self._draw(min(_LENGTH, self._longest))
        cut = max(1, len(tokens) - 4)
        changed = self._row((*tokens[:cut], *self._draw(len(tokens) - cut)))
        try:
            (first,), (second,), (other,) = (
                self._trial.logits([text]) for text in (self._row(tokens), self._row(tokens), changed)
            )
        except FAILURES as error:
            if self._trial.use_own_dtype():
                self._refuse()
                return
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise UserError(
                f"model '{name}' cannot be scored: it does not run on token ids alone ({reason})"
            ) from error
        if not self._trial.agree(first, second):
            raise UserError(
                f"model '{name}' cannot be scored: it is not deterministic; if its configuration has a seed, set it"
            )
        if not self._trial.head_reads_positions(self._row(tokens), changed):
            raise UserError(
                f"model '{name}' cannot be scored: its output head cannot be read at single positions; "
                "it may predict several tokens at a time"
            )
        if self._loaded.family != "encoder" and not self._trial.agree(first[:cut], other[:cut]):
            raise UserError(
                f"model '{name}' cannot be scored: it is loaded as a causal model, but its logits depend on later "
                "tokens; a masked language model is scored as one if its config.json names its class (...ForMaskedLM)"
            )

    def _plain(self, text: Callable[[Tokens], Text], longest: int) -> Sharing:
        """Return what texts made from up to ``longest`` tokens may share, without branches."""
        if not self._is_exact or shares_expert_capacity(self._loaded.model):
            return Sharing(0, 0, 0)
        length = max(2, min(_LENGTH, longest - 3))
        longer = min(length + _LONGER_BY, longest)
        lengths = self._batch_independent if self._lengths_hold(text, length, longer) else 0
        batch = UNKNOWN_LENGTH if lengths or self._batch_holds(text, length) else 0
        lengths, batch = min(lengths, self._unverified), min(batch, self._unverified)
        beyond = self._window + 5
        if self._window <= _CHEAP and beyond + 3 <= longest:
            longer = min(beyond + _LONGER_BY, longest)
            if lengths and not self._lengths_hold(text, beyond, longer):
                lengths = min(lengths, self._window)
            if batch and lengths < beyond and not self._batch_holds(text, beyond):
                batch = self._window
        return Sharing(0, lengths, batch)

    def _lengths_hold(self, text: Callable[[Tokens], Text], length: int, longer: int) -> bool:
        """Whether texts read the same in a batch with a longer text as alone."""
        watched = [text(self._draw(length)), text(self._repeated(length - 1)), text(self._repeated(min(length - 1, 4)))]
        return self._trial.holds([*watched, text(self._draw(longer))], [*watched, text(self._draw(longer))])

    def _batch_holds(self, text: Callable[[Tokens], Text], length: int) -> bool:
        """Whether texts read the same in a batch with texts of the same length as alone."""
        watched = [text(self._draw(length)), text(self._repeated(length))]
        return self._trial.holds([*watched, text(self._draw(length))], [*watched, text(self._draw(length))])

    def _branches_hold(self, longest: int) -> bool:
        """Whether a branch reads the same next to another branch, in a batch with a shorter row, as alone."""
        branch = min(_BRANCH, longest - _LENGTH)
        if branch < 2:
            return False
        # The shorter row's padding must not exceed the position table either.
        watched = ((self._draw(_LENGTH), 4), (self._repeated(_LENGTH - 3), 2))
        first, second = ([Text(tokens, (), self._draw(branch), fork) for tokens, fork in watched] for _ in range(2))
        return self._trial.holds(first, second)

    def contexts_hold(self, *, longer_by: int) -> bool:
        """Whether contexts are continued the same next to a longer one as alone, whatever the other contains.

        Without ``longer_by``, all have the same length.
        """
        length = min(_LENGTH, self._longest - _ANSWER - 1)
        if not self._is_exact or length < 2:
            return False
        shorter = length - 1 if longer_by else length
        answer, watched = self._draw(_ANSWER), (self._draw(length), self._repeated(shorter))
        longer = min(length + longer_by, self._longest - _ANSWER)
        try:
            first, second = (
                self._trial.logits_along([*watched, self._draw(longer)], answer)[: len(watched)] for _ in range(2)
            )
            alone = [self._trial.logits_along([each], answer)[0] for each in watched]
        except FAILURES:
            return False
        return all(
            self._trial.agree(one, other, sharp=True) and self._trial.agree(one, own)
            for one, other, own in zip(first, second, alone, strict=True)
        )

    def _repeated(self, length: int) -> Tokens:
        return (self._draw(2) * length)[:length]
