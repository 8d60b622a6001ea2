"""What texts may share in 16 bits equals what they may share in float32.

Covers ``scoring.batch_invariance.in_float32``.
"""

from __future__ import annotations

import copy

import pytest
import torch
from scoring.batch_invariance import configurations
from scoring.batch_invariance.configurations import CONFIGURATIONS
from scoring.batch_invariance.test_all_architectures import USUALLY_RUN, WITNESSES, expected_level, farthest
from transformers import PreTrainedModel

from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.batch_invariance.limits import max_length
from forgetmeter.scoring.families.decoder import run_decoder
from forgetmeter.scoring.families.encoder import run_encoder
from forgetmeter.scoring.families.encoder_decoder import run_encoder_decoder
from forgetmeter.scoring.rows.batch import Batch

RUNS = {"decoder": run_decoder, "encoder": run_encoder, "encoder-decoder": run_encoder_decoder}
SAMPLE = (*USUALLY_RUN, "mpt as decoder", "llama as decoder", "roberta as decoder")
"""Includes encoders loaded as decoders, which must be refused for seeing later tokens."""


def found(name: str, model: PreTrainedModel) -> str:
    family = CONFIGURATIONS[name].family
    loaded = Loaded(model, WITNESSES[family][0](), family, name)
    try:
        # Beyond a position table, a GPU stops for good.
        longest = min(128, max_length(model, loaded.tokenizer, name))
        return str(find_sharing(loaded, RUNS[family], longest=longest, padding=1))
    except UserError as error:
        return str(error)


@configurations.each(SAMPLE)
def test_the_decision_is_that_of_float32(name: str) -> None:
    model = CONFIGURATIONS[name].model()
    others = [copy.deepcopy(model).to(dtype) for dtype in (torch.bfloat16, torch.float16)]
    assert {found(name, other) for other in others} == {found(name, model)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mpt as decoder", "convbert as encoder", "funnel as encoder"])
def test_texts_score_as_alone_up_to_rounding(name: str) -> None:
    level, difference = farthest(name, torch.bfloat16)
    assert level == expected_level(name)
    assert difference < 0.3


def test_the_model_keeps_its_dtype_and_weights() -> None:
    model = CONFIGURATIONS["llama as decoder"].model().bfloat16()
    before = copy.deepcopy(model.state_dict())
    found("llama as decoder", model)
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) and after[key].dtype == before[key].dtype for key in before)


def test_a_kernel_that_needs_16_bits_is_read_alone() -> None:
    def only_half(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        logits = run_decoder(model, batch)
        if logits.dtype != torch.bfloat16:
            raise RuntimeError("this kernel needs bfloat16")
        return logits

    model = CONFIGURATIONS["llama as decoder"].model().bfloat16()
    loaded = Loaded(model, WITNESSES["decoder"][0](), "decoder", "x")
    assert find_sharing(loaded, only_half, longest=128)[0].level == "alone"
