from __future__ import annotations

from collections import Counter

import torch
from tiny_models import make_llama

from forgetmeter.models.weight_map import weight_map


def test_every_matrix_but_the_embedding_has_one_role() -> None:
    model = make_llama(tied=False)
    matrices = weight_map(model)
    named = {matrix.parameter for matrix in matrices}
    two_dimensional = {name for name, parameter in model.named_parameters() if parameter.dim() == 2}
    assert two_dimensional - named == {"model.embed_tokens.weight"}
    assert named < two_dimensional
    assert len(matrices) == len(named)
    assert Counter(str(matrix.role) for matrix in matrices) == {
        "attention.query": 2,
        "attention.key": 2,
        "attention.value": 2,
        "attention.output": 2,
        "feed_forward.gate": 2,
        "feed_forward.up": 2,
        "feed_forward.down": 2,
        "head": 1,
    }
    for matrix in matrices:
        assert matrix.shape == tuple(model.get_parameter(matrix.parameter).shape)
        assert matrix.layer == (None if matrix.role.component == "head" else int(matrix.parameter.split(".")[2]))


def test_a_tied_head_names_its_embedding() -> None:
    head = weight_map(make_llama(tied=True))[-1]
    assert (head.parameter, head.tied_to) == ("lm_head.weight", "model.embed_tokens.weight")
    assert weight_map(make_llama(tied=False))[-1].tied_to is None


def test_the_map_needs_no_weights() -> None:
    with torch.device("meta"):
        model = make_llama()
    assert len(weight_map(model)) == 15
