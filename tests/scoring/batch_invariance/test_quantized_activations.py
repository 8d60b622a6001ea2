"""Scores of models whose layers quantize activations by their range, against plain calls of each text alone."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import pytest
import torch
from scoring.batch_invariance import configurations
from scoring.batch_invariance.configurations import CONFIGURATIONS
from scoring.batch_invariance.test_all_architectures import REFUSED, WITNESSES, numbers
from torch import nn
from torch.ao.quantization import quantize_dynamic

import forgetmeter
from forgetmeter import open_run
from forgetmeter.compression.applying.compressor import compress
from forgetmeter.compression.forms.int8_weight import kernel_available
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.scoring.engine import Engine

pytestmark = pytest.mark.skipif(not kernel_available(torch.device("cpu")), reason="this torch has no int8 kernels")

ROUNDED = 0.02
"""Share of log-likelihoods in which a sum's last bits may have moved an activation to the next integer."""
SAMPLE = {
    "llama as decoder": "equal lengths",
    "gpt2 with 64 positions": "equal lengths",
    "mixtral as decoder": "alone",
    "bert as encoder": "equal lengths",
    "convbert as encoder": "equal lengths",
    "t5 as encoder-decoder": "equal lengths",
}
"""What their texts share. An expert reads the tokens of all texts at once; `make architectures` tests all."""


def of_all(loaded: Loaded, *, batch_tokens: int) -> torch.Tensor:
    engine = Engine(loaded, batch_tokens=batch_tokens)
    items = WITNESSES[loaded.family][1]()
    answers = engine.score(engine.prepare(items))
    return torch.tensor([x for answer in answers for x in numbers(answer)], dtype=torch.float64)


def expected(loaded: Loaded) -> torch.Tensor:
    _, items_of, expected_of = WITNESSES[loaded.family]
    found = [x for item in items_of() for x in expected_of(loaded.model, loaded.tokenizer, item)]
    return torch.tensor(found, dtype=torch.float64)


def made(name: str) -> Loaded:
    family = CONFIGURATIONS[name].family
    return Loaded(CONFIGURATIONS[name].model(), WITNESSES[family][0](), family, name)


@pytest.mark.slow
@configurations.each(SAMPLE, without=REFUSED)
def test_each_text_has_ranges_of_its_own(name: str) -> None:
    plain = made(name)
    # As in a run, where the model is read before it is quantized.
    Engine(plain)
    try:
        quantized = compress(plain, "dynamic_int8:overall")
    except UserError as error:
        pytest.skip(str(error))
    alone = expected(quantized)
    for batch_tokens in (200, 4096):
        gaps = (of_all(quantized, batch_tokens=batch_tokens) - alone).abs()
        assert gaps.median() <= 1e-5
        assert (gaps > 1e-4).double().mean() <= ROUNDED
    assert Engine(quantized).sharing.level == SAMPLE.get(name, Engine(quantized).sharing.level)


@pytest.mark.parametrize("name", ["llama as decoder", "bert as encoder", "t5 as encoder-decoder"])
def test_so_it_has_behind_a_division_of_its_inputs(name: str) -> None:
    plain = made(name)
    ids = torch.arange(20, 60).view(2, 20)
    call = {"input_ids": ids, "labels": ids} if plain.family == "encoder-decoder" else {"input_ids": ids}
    quantized = compress(plain, "smoothquant:overall", calibration=[call])
    gaps = (of_all(quantized, batch_tokens=4096) - expected(quantized)).abs()
    assert gaps.median() <= 1e-5
    assert (gaps > 1e-4).double().mean() <= ROUNDED
    assert Engine(quantized).sharing.level == "equal lengths"


def test_the_texts_of_an_encoder_are_limited_like_the_rows_of_its_decoder() -> None:
    plain = made("t5 as encoder-decoder")
    quantized = compress(plain, "dynamic_int8:overall")
    assert [each.level for each in Engine(plain).shared] == ["padded", "padded"]
    assert [each.level for each in Engine(quantized).shared] == ["equal lengths", "equal lengths"]


def test_texts_whose_tokens_are_rounded_by_torchao_share_batches_of_one_length() -> None:
    pytest.importorskip("torchao")
    plain = made("llama as decoder")
    quantized = compress(plain, "int8_dynamic_torchao:overall")
    assert (Engine(plain).sharing.level, Engine(quantized).sharing.level) == ("packed", "equal lengths")
    assert (of_all(quantized, batch_tokens=4096) - expected(quantized)).abs().max() <= 1e-5


def test_a_text_scores_as_with_torchs_own_layers() -> None:
    plain = made("llama as decoder")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = quantize_dynamic(copy.deepcopy(plain.model), {nn.Linear})
    theirs = Loaded(model, plain.tokenizer, plain.family, "torch's")
    ours = compress(plain, "dynamic_int8:overall+dynamic_int8:head")
    assert Engine(theirs).sharing.level == "alone"
    for found in (of_all(ours, batch_tokens=4096), of_all(theirs, batch_tokens=4096)):
        gaps = (found - expected(theirs)).abs()
        assert gaps.median() <= 1e-5
        assert (gaps > 1e-4).double().mean() <= ROUNDED


def test_answers_of_a_run_do_not_depend_on_the_number_of_items(tmp_path: Path) -> None:
    study = {
        "models": ["standard:decoder", "standard:encoder"],
        "recipes": ["dynamic_int8:overall", "dynamic_int8:attention"],
        "tasks": ["facts:templates=0"],
    }
    margins = {}
    for limit in (2, 9):
        forgetmeter.run(study | {"evaluation.limit": limit, "output": str(tmp_path / str(limit))})
        frame = open_run(tmp_path / str(limit)).outcomes
        margins[limit] = frame.set_index(["model", "recipe", "item_id"])["margin"]
    few, same = margins[2].align(margins[9], join="left")
    assert len(few) == 2 * 3 * 40
    assert ((few - same).abs() > 1e-4).mean() <= ROUNDED
