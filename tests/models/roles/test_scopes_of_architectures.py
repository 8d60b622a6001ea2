"""What scopes select in real architectures, against the published scripts' selections by module name.

Covers ``models.roles.weight_map`` and ``specs.scope``.
"""

from __future__ import annotations

import re
from functools import cache

import pytest
import torch
from models.architectures import ARCHITECTURES, ENCODER_DECODERS, make_architecture
from torch import nn
from transformers import PreTrainedModel

from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.role import Matrix
from forgetmeter.specs.scope import SELECTORS, parse_scope, regex_scope

# The scripts' conditions on module names (arXiv 2312.00960).
PUBLISHED_ATTENTION = {
    "bert": r"(query|key|value)$",
    "roberta": r"(query|key|value)$",
    "distilbert": r"(q_lin|k_lin|v_lin|out_lin)$",
    "albert": r"attention\.(query|key|value|dense)$",
    "t5": r"(SelfAttention|EncDecAttention)\.[qkvo]$",
    "t5_gated": r"(SelfAttention|EncDecAttention)\.[qkvo]$",
    "llama": r"self_attn\.[qkvo]_proj$",
}
PUBLISHED_FEED_FORWARD = {
    "bert": r"layer\.\d+\..*dense$",
    "roberta": r"layer\.\d+\..*dense$",
    "distilbert": r"ffn\.lin[12]$",
    "albert": r"(ffn|ffn_output)$",
    "t5": r"DenseReluDense\.(wi|wo)$",
    "t5_gated": r"DenseReluDense\.(wi_0|wi_1|wo)$",
    "llama": r"mlp\.(gate|up|down)_proj$",
}

each_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


@cache
def skeleton(name: str) -> PreTrainedModel:
    with torch.device("meta"):
        return make_architecture(name)


@cache
def matrices_of(name: str) -> tuple[Matrix, ...]:
    return weight_map(skeleton(name))


def modules_of(name: str, scope: str) -> set[str]:
    return {matrix.module for matrix in parse_scope(scope).select(matrices_of(name))}


def linear_layers(name: str) -> list[str]:
    return [path for path, module in skeleton(name).named_modules() if isinstance(module, nn.Linear)]


@pytest.mark.parametrize("name", PUBLISHED_ATTENTION)
def test_paper_scopes_are_those_of_the_published_scripts(name: str) -> None:
    layers = linear_layers(name)
    assert modules_of(name, "paper/attention") == {
        path for path in layers if re.search(PUBLISHED_ATTENTION[name], path)
    }
    feed_forward = {path for path in layers if re.search(PUBLISHED_FEED_FORWARD[name], path)}
    assert modules_of(name, "paper/feed_forward") == feed_forward
    assert modules_of(name, "paper/overall") == set(layers[:-1])


@pytest.mark.parametrize("name", ["electra", "deberta_v2", "gpt2", "phi3", "bart", "falcon"])
def test_in_other_architectures_the_paper_scopes_are_the_plain_ones(name: str) -> None:
    for scope in ("attention", "feed_forward"):
        assert modules_of(name, f"paper/{scope}") == modules_of(name, scope)


@each_architecture
def test_scopes_divide_the_model(name: str) -> None:
    matrices = matrices_of(name)
    select = {selector: set(parse_scope(selector).select(matrices)) for selector in SELECTORS}
    assert select["overall"] == select["attention"] | select["feed_forward"]
    assert not select["attention"] & select["feed_forward"]
    for component in ("attention", "feed_forward"):
        parts = [found for selector, found in select.items() if selector.startswith(f"{component}.")]
        assert set().union(*parts) == select[component]
        assert sum(map(len, parts)) == len(select[component])
    assert select["self_attention"] | select["cross_attention"] == select["attention"]
    assert bool(select["cross_attention"]) == (name in ENCODER_DECODERS)
    assert select["paper/overall"] == select["paper/attention"] | select["paper/feed_forward"] | {
        matrix for matrix in matrices if matrix.role.component in ("embedding", "head_transform")
    }
    rest = set(matrices) - select["paper/overall"]
    assert rest == select["head"] | select["token_embedding"]
    assert len(select["token_embedding"]) == 1


@each_architecture
def test_stacks_and_layers_divide_overall(name: str) -> None:
    matrices = matrices_of(name)
    for parts in (("encoder/overall", "decoder/overall"), ("layers[0]/overall", "layers[1-9]/overall")):
        found = [parse_scope(part).select(matrices) for part in parts]
        assert sorted(map(str, (*found[0], *found[1]))) == sorted(map(str, parse_scope("overall").select(matrices)))
        assert not set(found[0]) & set(found[1])


def test_a_regex_selects_fused_parameters_whole_and_projections_of_the_embedding() -> None:
    selected = regex_scope(r"h\.1\.attn\.c_attn").select(matrices_of("gpt2"))
    assert [matrix.role.part for matrix in selected] == ["query", "key", "value"]
    (mapping,) = regex_scope("mapping_in").select(matrices_of("albert"))
    assert mapping.role.component == "embedding"
