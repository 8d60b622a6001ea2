"""Scores and pruned weights on a GPU, against the CPU's."""

from __future__ import annotations

import copy
from pathlib import Path

import pandas as pd
import pytest
import torch
from models.architectures import make_architecture
from models.formats.packed_specimens import SPECIMENS
from models.formats.specimen import Specimen
from scoring.batch_invariance import configurations
from scoring.batch_invariance.configurations import CONFIGURATIONS
from scoring.batch_invariance.test_16_bits import found
from scoring.batch_invariance.test_all_architectures import REFUSED, USUALLY_RUN, WITNESSES, numbers

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.forms.int8_weight import DynamicInt8Linear, Granularity, quantize
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.methods import svd
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.results.results import open_run
from forgetmeter.scoring.engine import Engine
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.study.running import run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

DECODERS = [f"{name} as decoder" for name in ("llama", "mpt", "mixtral", "mamba", "jamba", "gpt_oss", "bloom", "bert")]
"""Of other families, texts beyond a position table would stop the GPU for good."""
TOLERANCE = 5e-5
"""In nats, for a whole log-likelihood: the CPU sums in another order."""
RECIPES = (
    "l1_unstructured:overall:0.5",
    "l1_unstructured:overall:0.5:pool=matrix",
    "random_unstructured:overall:0.5",
    "random_structured:overall:0.5",
    "ln_structured:overall:0.5",
    "n_m:overall",
    "l1_heads:attention:0.5:pool=layer",
    "drop_layers:layers[0]/overall:1",
    "cast:overall:dtype=bfloat16",
    "round_to_nearest:overall:4:group_size=8",
    "l1_unstructured:attention:0.3+round_to_nearest:overall:4",
)


@configurations.each(USUALLY_RUN, without=REFUSED)
def test_batched_scores_match_the_cpus_of_each_text_alone(name: str) -> None:
    configuration = CONFIGURATIONS[name]
    make, items_of, expected_of = WITNESSES[configuration.family]
    model, tokenizer, items = configuration.model(), make(), items_of()
    expected = torch.tensor([x for item in items for x in expected_of(model, tokenizer, item)], dtype=torch.float64)
    engine = Engine(Loaded(model.to("cuda"), tokenizer, configuration.family, name))
    found = [x for answer in engine.score(engine.prepare(items)) for x in numbers(answer)]
    assert float((torch.tensor(found, dtype=torch.float64) - expected).abs().max()) <= TOLERANCE


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "t5", "bert"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_weights_match_the_cpus_and_are_restored(name: str, recipe: str) -> None:
    def compressed(device: str) -> dict[str, torch.Tensor]:
        model = make_architecture(name).to(device)
        before = copy.deepcopy(model.state_dict())
        kept = Loaded(model, None, "decoder", name)  # type: ignore[arg-type]
        with Compressor(kept, seed=3).applied(parse_recipe(recipe)):
            found = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
        for key, value in model.state_dict().items():
            assert torch.equal(value, before[key])
        return found

    try:
        expected = compressed("cpu")
    except UserError as error:
        with pytest.raises(UserError) as refused:
            compressed("cuda")
        assert str(refused.value) == str(error)
        return
    found = compressed("cuda")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_int8_layers_match_the_cpus_kernel(granularity: Granularity) -> None:
    generator = torch.Generator().manual_seed(0)
    values, inputs, bias = (torch.randn(*shape, generator=generator) for shape in ((48, 32), (20, 32), (48,)))
    expected = quantize(values, granularity)
    found = quantize(values.to("cuda"), granularity)
    assert torch.equal(found.integers.cpu(), expected.integers)
    assert torch.equal(found.factors.cpu(), expected.factors)
    kernel = DynamicInt8Linear(expected, bias)
    simulated = DynamicInt8Linear(found, bias.to("cuda"))
    assert (kernel.simulated, simulated.simulated) == (False, True)
    torch.testing.assert_close(simulated(inputs.to("cuda")).cpu(), kernel(inputs))


def test_low_rank_weights_are_nearly_the_cpus() -> None:
    values = torch.randn(48, 32, generator=torch.Generator().manual_seed(0))
    found = svd.METHOD.transform(DenseWeight(values.to("cuda")), 0.5, {})
    expected = svd.METHOD.transform(DenseWeight(values), 0.5, {})
    torch.testing.assert_close(found.values().cpu(), expected.values(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_standard_knows_its_facts_on_the_gpu(dtype: str) -> None:
    task = load_task("facts", limit=20)
    said = {}
    for device in ("cpu", "cuda"):
        engine = Engine(load("standard:decoder", dtype=dtype if device == "cuda" else "float32", device=device))
        judged = task.judge(engine.score(engine.prepare(task.items)))
        said[device] = {outcome.item_id: outcome.prediction for outcome in judged.outcomes}
    same = sum(said["cuda"][item] == prediction for item, prediction in said["cpu"].items())
    assert same / len(said["cpu"]) >= (1.0 if dtype == "float32" else 0.98)


@pytest.mark.parametrize("name", DECODERS)
def test_what_texts_may_share_is_decided_as_on_the_cpu(name: str) -> None:
    """In 16 bits on the GPU and in float32 on the CPU."""
    model = CONFIGURATIONS[name].model()
    expected = found(name, model)
    assert found(name, model.to("cuda", torch.bfloat16)) == expected


@pytest.mark.parametrize("specimen", [each for each in SPECIMENS if each.on_cuda], ids=str)
def test_unpacked_weights_are_the_cpus(specimen: Specimen, tmp_path: Path) -> None:
    expected = specimen.write(tmp_path)
    assert expected is not None
    found = load(tmp_path, device="cuda").model.state_dict()
    for key, value in expected.state_dict().items():
        assert torch.equal(found[key].cpu(), value.float()), key


def test_a_study_with_a_candidate_and_divergence_matches_the_cpus(tmp_path: Path) -> None:
    """Facts are answered alike, and divergences are close: its logits, too, are summed in another order."""
    compress_checkpoint("standard:decoder", "l1_unstructured:overall:0.3", tmp_path / "pruned")
    found = {}
    for device in ("cpu", "cuda"):
        run(
            {
                "models": ["standard:decoder"],
                "recipes": ["round_to_nearest:overall:4"],
                "candidates": [str(tmp_path / "pruned")],
                "tasks": ["facts:templates=0", "divergence"],
                "evaluation.device": device,
                "evaluation.dtype": "float32",
                "evaluation.limit": 20,
                "output": str(tmp_path / device),
            }
        )
        results = open_run(tmp_path / device)
        outcomes = results.outcomes.set_index(["recipe", "task", "item_id"]).sort_index()
        found[device] = outcomes["prediction"].to_dict(), results.cells
    assert found["cuda"][0] == found["cpu"][0]
    expected, given = (found[device][1].filter(like="divergence") for device in ("cpu", "cuda"))
    assert expected.notna().any(axis=None)
    pd.testing.assert_frame_equal(given, expected, rtol=1e-3, atol=1e-5)
