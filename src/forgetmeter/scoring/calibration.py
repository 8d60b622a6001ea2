"""Calibration texts as the inputs of a model."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

import torch
from torch import Tensor

from forgetmeter.config.study import FACTS, CalibrationSettings
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.loaded import Loaded
from forgetmeter.scoring.batch_invariance.limits import max_length
from forgetmeter.scoring.calibration_texts import calibration_texts, longest_text
from forgetmeter.scoring.tokens.tokenization import added_tokens

_TOKENS_PER_CALL = 4096
_MOST_UNKNOWN = 0.2
"""Share of unknown tokens above which a text is refused."""


def calibration_calls(model: Loaded | Checkpoint, settings: CalibrationSettings) -> list[Mapping[str, Tensor]]:
    """Return the inputs of each call of the model, of at most 4,096 tokens or a single sequence.

    The text is cut into sequences of equal length (the remainder is dropped), some of which are drawn at random. Each
    begins with the tokens that the tokenizer adds to a text. Facts are sequences of their own. An encoder-decoder gets
    each sequence as both input and labels.

    Args:
        model: The model, loaded or opened.
        settings: The calibration text settings.

    Raises:
        UserError: The text cannot be read, is too short, or has too many tokens that the model does not know.
    """
    part = model.model if isinstance(model, Loaded) else model.skeleton
    longest = min(settings.length, max_length(part, model.tokenizer, model.name))
    sequences = _sequences(model, settings, longest)
    draw = torch.randperm(len(sequences), generator=torch.Generator().manual_seed(settings.seed))
    chosen = [
        sequences[place] for place in sorted(draw[: settings.sequences].tolist(), key=lambda at: len(sequences[at]))
    ]
    calls: list[Mapping[str, Tensor]] = []
    for length, alike in groupby(chosen, key=len):
        for ids in torch.tensor(list(alike)).split(max(1, _TOKENS_PER_CALL // length)):
            calls.append({"input_ids": ids} | ({"labels": ids} if model.family == "encoder-decoder" else {}))
    return calls


def _sequences(model: Loaded | Checkpoint, settings: CalibrationSettings, longest: int) -> list[list[int]]:
    tokenizer, added = model.tokenizer, added_tokens(model.tokenizer)
    after = () if model.family == "decoder" else added.after
    room = longest - len(added.before) - len(after)
    if room < 1:
        raise UserError(
            f"sequences of {longest} tokens have no room for text: the tokenizer of {model.name} adds "
            f"{len(added.before) + len(after)} to each; ask for longer ones (calibration: {{length: N}})"
        )
    texts, where = calibration_texts(settings, model.name), settings.of(model.name)
    encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    ids = [token for each in encoded for token in each]
    unknown = ids.count(tokenizer.unk_token_id) if tokenizer.unk_token_id is not None else 0
    if unknown > _MOST_UNKNOWN * len(ids):
        raise UserError(
            f"{unknown / len(ids):.0%} of the tokens of calibration text '{where}' are unknown to the tokenizer of "
            f"{model.name}; give a text in a language that the model reads (calibration: {{text: PATH}})"
        )
    if where == FACTS:
        pieces = [each[:room] for each in encoded]
    else:
        pieces = [ids[start : start + room] for start in range(0, len(ids) - room + 1, room)]
    if len(pieces) < settings.sequences:
        whole = longest_text(settings)
        part = f"the first {whole:,} characters of " if len(texts) == 1 and len(texts[0]) == whole else ""
        raise UserError(
            f"{part}calibration text '{where}' {'have' if part else 'has'} {len(ids):,} tokens as {model.name} splits "
            f"it, and {settings.sequences} sequences of {longest} tokens need {settings.sequences * room:,}; give a "
            "longer text, or ask for fewer or shorter sequences "
            "(calibration: {text: PATH, sequences: N, length: N})"
        )
    return [[*added.before, *piece, *after] for piece in pieces]
