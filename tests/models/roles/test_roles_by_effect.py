"""What the roles say against what the weights do, in every architecture of transformers.

Covers ``models.roles.role_names``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from models.roles.witness import changed_at, first_effect, watched
from scoring.batch_invariance.configurations import CONFIGURATIONS
from torch import nn
from transformers import PreTrainedModel

from forgetmeter.models.roles.weight_map import NOT_USED, RESIDUAL, left_alone, weight_map
from forgetmeter.specs.role import Matrix

EXPECTED = {"query": {"query"}, "key": {"key"}, "value": {"value"}, "latent": {"query", "key", "key and value"}}
UNWATCHED = {
    "apertus": "its activation is a function of its own",
    "convbert": "the query also makes the kernels of a convolution",
    "deepseek_v4": "keys are compressed over more tokens than the text has",
    "doge": "the values also decide which tokens are attended to",
    "fnet": "it has no attention",
    "funnel": "products with relative positions come first",
    "ibert": "its layers are of its own kind",
    "mobilebert": "its blocks are several feed-forward layers",
    "reformer": "its attention sorts tokens by their hashes",
    "rwkv": "both of its projections are activated",
    "squeezebert": "its products are computed in another way",
    "xlstm": "it has no attention",
    "xmod": "it does not run on token ids alone",
    "zaya": "keys are made from queries",
}
"""Architectures whose weights act in ways that the witness does not see, and why."""
USUALLY_RUN = (
    "aria_text as decoder",
    "codegen as decoder",
    "dbrx as decoder",
    "deberta as encoder",
    "deepseek_v3 as decoder",
    "falcon in the new order",
    "glm4 as decoder",
    "gpt_bigcode as decoder",
    "gpt_oss as decoder",
    "granitemoehybrid as decoder",
    "jetmoe as decoder",
    "llama4_text as decoder",
    "modernbert-decoder as decoder",
    "mpt as decoder",
    "openai-gpt as decoder",
    "persimmon as decoder",
    "t5 as encoder-decoder",
    "xlnet as decoder",
)
"""Those tested by default; `make architectures` tests all."""


def indices(matrix: Matrix, length: int) -> Iterator[list[int]]:
    """All output units of a matrix, and the first and last alone of each range: a wrong border shows there."""
    yield [at for start, stop in matrix.ranges for at in range(start, stop)] or list(range(length))
    for start, stop in matrix.ranges[:8]:
        yield [start]
        yield [stop - 1]


def effects(model: PreTrainedModel, family: str, matrix: Matrix) -> set[str]:
    return {name for _, name in first_effects(model, family, matrix)}


def first_effects(model: PreTrainedModel, family: str, matrix: Matrix) -> set[tuple[int, str]]:
    parameter = model.get_parameter(matrix.parameter)
    axis = matrix.axis if matrix.axis is not None else len(matrix.shape) - (1 if matrix.has_inputs_first else 2)
    before = watched(model, family)  # type: ignore[arg-type]
    found = set()
    for chosen in indices(matrix, parameter.shape[axis]):
        with changed_at(parameter, axis, chosen):
            found.add(first_effect(before, watched(model, family), matrix.layer))  # type: ignore[arg-type]
    return found


def gate_of(matrix: Matrix, matrices: tuple[Matrix, ...]) -> Matrix | None:
    def owner(each: Matrix) -> str:
        return each.module if each.form in ("tensor", "transposed") else each.module.rpartition(".")[0]

    gates = (each for each in matrices if str(each.role) == "feed_forward.gate" and owner(each) == owner(matrix))
    return next(gates, None)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in USUALLY_RUN else pytest.mark.architectures)
        for name, configuration in CONFIGURATIONS.items()
        if configuration.model_type not in UNWATCHED and configuration.scale != 0.02
    ],
)
def test_weights_do_what_their_role_says(name: str) -> None:
    family, model = CONFIGURATIONS[name].family, CONFIGURATIONS[name].model()
    matrices = weight_map(model)
    for matrix in matrices:
        if matrix.layer not in (0, 1):
            continue
        part = matrix.role.part
        if matrix.role.component == "attention" and part in EXPECTED:
            # DeBERTa's queries of positions are multiplied with keys from the other side.
            expected = {"query", "key"} if "pos_" in matrix.parameter else EXPECTED[part]
            assert effects(model, family, matrix) <= expected, matrix
        elif str(matrix.role) == "feed_forward.gate":
            assert "activation" in effects(model, family, matrix), matrix
        elif str(matrix.role) == "feed_forward.up":
            gate, reached = gate_of(matrix, matrices), first_effects(model, family, matrix)
            names = {name for _, name in reached}
            if "experts." in matrix.parameter and names == {"nothing"}:
                # No token may be routed to an expert.
                continue
            if gate is None:
                assert "activation" in names, matrix
            elif "activation" in names:
                # A later layer of the block has an activation of its own.
                assert min(reached) > min(first_effects(model, family, gate)), matrix


@pytest.mark.parametrize(
    "name",
    [
        "bart as decoder",
        "big_bird as encoder",
        "esm as encoder",
        "fnet as encoder",
        "layoutlm as encoder",
        "longformer as encoder",
        "luke as encoder",
    ],
)
def test_what_is_not_used_to_predict_tokens_changes_nothing(name: str) -> None:
    family, model = CONFIGURATIONS[name].family, CONFIGURATIONS[name].model()
    ids = torch.tensor([[5, 9, 17, 33, 4, 20, 7]])
    with torch.no_grad():
        said = model(input_ids=ids).logits
        unused = [name for name, reason in left_alone(model).items() if reason == NOT_USED]
        for parameter in unused:
            nn.init.normal_(model.get_parameter(parameter))
        assert torch.equal(model(input_ids=ids).logits, said)
        assert unused or name.startswith("longformer")
        assert family != "encoder-decoder"


TRANSPOSED = ("aria_text as decoder", "gpt_oss as decoder", "llama4_text as decoder")


@pytest.mark.parametrize("name", [*TRANSPOSED, "jetmoe as decoder", "mixtral as decoder", "qwen3_moe as decoder"])
def test_an_experts_weights_change_this_expert_alone(name: str) -> None:
    """Each expert is added to the outputs of the tokens that are routed to it, and to no others."""
    model = CONFIGURATIONS[name].model()
    ids = torch.tensor([[5, 9, 17, 33, 4, 20, 7, 8, 21, 40]])
    # The last layer: earlier ones would also reach later tokens.
    experts = [
        each
        for each in weight_map(model)
        if len(each.shape) == 3 and each.layer == 1 and each.role.component == "feed_forward"
    ]
    assert experts
    assert any(each.has_inputs_first for each in experts) == (name in TRANSPOSED)
    for matrix in experts:
        with torch.no_grad():
            said = model(input_ids=ids).logits
            moved = []
            for expert in range(matrix.shape[0]):
                parameter = model.get_parameter(matrix.parameter)
                rows = parameter.view(matrix.shape[0], -1, parameter.shape[-1])[expert]
                kept = rows.clone()
                rows.add_(torch.rand_like(rows))
                moved.append((model(input_ids=ids).logits != said).any(-1)[0])
                rows.copy_(kept)
        # Each token is moved by as many experts as it is routed to.
        assert torch.stack(moved).sum(0).tolist() == [2] * ids.numel(), matrix


@pytest.mark.parametrize("name", ["gemma3n_text as decoder", "zamba2 as decoder"])
def test_every_weight_beside_attention_has_a_role(name: str) -> None:
    """Gemma 3n's blocks keep several residual streams; Zamba's pass attention's output on to a Mamba layer."""
    model = CONFIGURATIONS[name].model()
    roles = {each.parameter: each.role.component for each in weight_map(model)}
    assert "unknown" not in roles.values()
    if "zamba" in name:
        assert roles["model.layers.1.linear.weight"] == "mixer"
    else:
        reasons = left_alone(model)
        assert reasons["model.layers.0.altup.prediction_coefs.weight"] == RESIDUAL
        assert reasons["model.layers.0.laurel.linear_left.weight"] == RESIDUAL
        assert reasons["model.altup_projections.0.weight"] == RESIDUAL


def test_projections_of_positions_have_a_part() -> None:
    """DeBERTa's as it is published: one makes keys of positions, one queries of positions."""
    parts = {
        each.module.rpartition(".")[2]: each.role.part
        for each in weight_map(CONFIGURATIONS["deberta as encoder"].model())
    }
    assert (parts["pos_proj"], parts["pos_q_proj"]) == ("key", "query")
