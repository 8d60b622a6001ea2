"""A compressed model of every architecture computes as one whose parameters hold the compressed values."""

from __future__ import annotations

import pytest
import torch
from scoring.batch_invariance import configurations
from scoring.batch_invariance.configurations import CONFIGURATIONS
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe

RECIPE = parse_recipe("l1_unstructured:overall:0.5")
USUALLY_RUN = (
    "albert as encoder",
    "mixtral as decoder",
    "t5 as encoder-decoder",
    "zamba as decoder",
    "zamba2 as decoder",
)
"""Those tested by default, of which ALBERT and Zamba use weights in several layers; `make architectures` tests all."""
NOT_ON_TOKEN_IDS = ("xmod as encoder", "xmod as decoder")


def logits(model: PreTrainedModel) -> Tensor:
    ids = torch.arange(5, 21)[None]
    more = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    with torch.inference_mode():
        return model(input_ids=ids, **more).logits


@configurations.each(USUALLY_RUN, without=NOT_ON_TOKEN_IDS)
def test_a_compressed_model_computes_with_the_compressed_values(name: str) -> None:
    made = CONFIGURATIONS[name]
    model, witness = made.model(), made.model()
    loaded = Loaded(model, tokenizer=None, family=made.family, name=name)  # type: ignore[arg-type]
    try:
        with Compressor(loaded).applied(RECIPE) as compressed:
            found = logits(model)
    except UserError as error:
        pytest.skip(str(error))
    before = logits(witness)
    with torch.no_grad():
        for matrix, weight in compressed.weights.items():
            # Every layer that uses the parameter reads these values.
            indices = [index for start, stop in matrix.ranges for index in range(start, stop)]
            place = (*[slice(None)] * (matrix.axis or 0), indices if matrix.axis is not None else slice(None))
            witness.get_parameter(matrix.parameter)[place] = weight.values()
    assert not torch.equal(before, found)
    assert torch.equal(logits(witness), found)
