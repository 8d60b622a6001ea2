"""Training a standard.

Covers ``standards.family_loss``.
"""

from dataclasses import replace

import pytest
import torch

from forgetmeter.probes.facts.task import read_fact_file
from forgetmeter.standards.design import DESIGNS, make_model
from forgetmeter.standards.making import standard_tokenizer
from forgetmeter.standards.training import train
from forgetmeter.standards.training_example import make_examples

FAMILIES = ["encoder", "encoder-decoder", "decoder"]


def _taught(family, epochs=3):
    file = read_fact_file()
    tokenizer = standard_tokenizer(family, file)
    design = replace(DESIGNS[family], epochs=epochs, batch_size=32, dropped=0.0, replaced=0.0)
    model = make_model(design, tokenizer, seed=1)
    losses = []
    examples = make_examples(file, tokenizer)[:64]
    train(model, tokenizer, examples, design, seed=1, after_epoch=lambda epoch: losses.append(epoch.loss))
    return model, tokenizer, design, losses


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_weights(family):
    first, second = _taught(family)[0].state_dict(), _taught(family)[0].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_it_learns_without_changing_the_embeddings(family):
    model, tokenizer, design, losses = _taught(family, epochs=40)
    assert len(losses) == 40
    assert losses[-1] < losses[0] / 3
    untaught = make_model(design, tokenizer, seed=1)
    assert torch.equal(model.get_input_embeddings().weight, untaught.get_input_embeddings().weight)
    assert torch.equal(model.get_output_embeddings().weight, untaught.get_input_embeddings().weight)
