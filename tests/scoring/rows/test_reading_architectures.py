"""Every architecture in packed and padded batches, against each sequence alone.

Covers ``scoring.batch_invariance.detection``, ``scoring.batch_invariance.trial``, ``scoring.rows.batch`` and
``scoring.rows.reading``.
"""

from __future__ import annotations

import random

import pytest
import torch
from models.architectures import ARCHITECTURES, ENCODER_DECODERS, VOCABULARY, make_architecture
from tiny_models import make_tokenizer
from transformers import PreTrainedModel

from forgetmeter.models.family import Family, family_of
from forgetmeter.models.loaded import Loaded
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.families.decoder import run_decoder
from forgetmeter.scoring.families.encoder import run_encoder
from forgetmeter.scoring.rows.batch import Reading, TokenRow, make_batch
from forgetmeter.scoring.rows.prefix_tree import WantedSequence, pack
from forgetmeter.scoring.rows.reading import read

NO_BRANCHES = {"bloom"}
"""Architectures whose positions follow from the attention mask alone."""


def family(name: str) -> Family:
    model_class = type(make_architecture(name)).__name__
    config = make_architecture(name).config
    config.architectures = [model_class]
    return family_of(config, name)


DECODERS = [name for name in ARCHITECTURES if family(name) == "decoder"]
ENCODERS = [name for name in ARCHITECTURES if family(name) == "encoder"]


def test_every_architecture_belongs_to_one_family() -> None:
    assert {*DECODERS, *ENCODERS, *ENCODER_DECODERS} == set(ARCHITECTURES)


def sequences() -> list[WantedSequence]:
    dice = random.Random(0)
    some = []
    for _ in range(3):
        prefix = dice.choices(range(3, VOCABULARY), k=4)
        for length in (2, 2, 5):
            some.append(WantedSequence((*prefix, *dice.choices(range(3, VOCABULARY), k=length)), 2))
    return some


def alone(model: PreTrainedModel, sequence: WantedSequence) -> float:
    """Score one sequence alone: the brute-force reference."""
    with torch.no_grad():
        logprobs = model(torch.tensor([sequence.tokens])).logits[0].log_softmax(-1)
    return sum(float(logprobs[place - 1, token]) for place, token in enumerate(sequence.tokens) if place >= 2)


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_read_branches_and_padded_rows_as_single_sequences(name: str) -> None:
    model, wanted = make_architecture(name), sequences()
    sharing, _ = find_sharing(Loaded(model, make_tokenizer(), "decoder", name), run_decoder, longest=64)
    assert sharing.level == ("padded" if name in NO_BRANCHES else "packed")
    packed = pack(wanted, sharing=sharing)
    batch = make_batch(packed.rows, device=model.device)
    logprobs = torch.zeros(packed.slots, dtype=torch.float64)
    logprobs[batch.single.slots] = read(model, batch, run_decoder).tokens.logprobs
    for sequence, path in zip(wanted, packed.paths, strict=True):
        assert float(logprobs[list(path)].sum()) == pytest.approx(alone(model, sequence), abs=2e-3)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_read_padded_rows_as_single_sequences(name: str) -> None:
    model = make_architecture(name)
    rows = [
        TokenRow(each.tokens, vocabulary=(Reading(3, each.tokens[3], slot),)) for slot, each in enumerate(sequences())
    ]
    found = read(model, make_batch(rows, device=model.device), run_encoder).vocabulary
    for place, row in enumerate(rows):
        with torch.no_grad():
            logprobs = model(torch.tensor([row.tokens])).logits[0, 3].log_softmax(-1)
        assert float(found.logprobs[place]) == pytest.approx(float(logprobs[row.tokens[3]]), abs=1e-3)
        assert int(found.ranks[place]) == 1 + int((logprobs > logprobs[row.tokens[3]]).sum())
        assert found.top[place].tolist() == logprobs.topk(5).indices.tolist()
