"""Texts that calibrated methods look at, as the inputs of a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from forgetmeter.config.study import FACTS, PYTHON, CalibrationSettings
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.loaded import Loaded
from forgetmeter.probes.loading import load_task
from forgetmeter.probes.on_text.text_file import read_text_file
from forgetmeter.scoring.batch_invariance.limits import max_length
from forgetmeter.scoring.tokens.tokenization import added_tokens

_FACTS_TASK = "facts:templates=0"
_TOKENS_PER_CALL = 4096
_LONGEST_TOKEN = 16
"""Letters read of the text for each token that is needed."""
_MOST_UNKNOWN = 0.2
"""Share of unknown tokens above which a text is refused."""


def calibration_calls(model: Loaded | Checkpoint, settings: CalibrationSettings) -> list[Mapping[str, Tensor]]:
    """Return the inputs of each call of the model, of at most 4,096 tokens or a single sequence.

    The text is cut into sequences of equal length, without the rest, of which some are drawn at random. Each begins
    with the tokens that the tokenizer adds to a text. Facts are sequences of their own. An encoder-decoder gets each
    sequence as both input and labels.

    Args:
        model: The model, loaded or opened.
        settings: What to read.

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


def text_digest(settings: CalibrationSettings, model: str) -> str:
    """Return the SHA-256 of the text that a model with this name would be given.

    Raises:
        UserError: The text cannot be read.
    """
    return hashlib.sha256("\n\n".join(_texts(settings, model)).encode(errors="surrogatepass")).hexdigest()


def _sequences(model: Loaded | Checkpoint, settings: CalibrationSettings, longest: int) -> list[list[int]]:
    tokenizer, added = model.tokenizer, added_tokens(model.tokenizer)
    after = () if model.family == "decoder" else added.after
    room = longest - len(added.before) - len(after)
    texts, where = _texts(settings, model.name), settings.of(model.name)
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
        raise UserError(
            f"calibration text '{where}' has {len(ids):,} tokens of {model.name}, and {settings.sequences} sequences "
            f"of {longest} tokens need {settings.sequences * room:,}; give a longer text, or ask for fewer or shorter "
            "sequences (calibration: {text: PATH, sequences: N, length: N})"
        )
    return [[*added.before, *piece, *after] for piece in pieces]


def _texts(settings: CalibrationSettings, model: str) -> Sequence[str]:
    where = settings.of(model)
    if where == FACTS:
        return [item.cloze.filled(item.choices[item.gold[0]]) for item in load_task(_FACTS_TASK).items]
    if where == PYTHON:
        return _documentation()
    texts = read_text_file(Path(where).expanduser())
    whole = "\n\n".join(text for text in texts if text is not None)
    return [whole[: settings.sequences * settings.length * _LONGEST_TOKEN]]


def _documentation() -> Sequence[str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise UserError(
            "this Python comes without its documentation (pydoc_data), which calibration reads by default; give a text "
            "(calibration: {text: PATH})"
        ) from None
    return [text for _, text in sorted(topics.items())]
