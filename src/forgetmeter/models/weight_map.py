"""Which weight matrix of a model does what."""

from __future__ import annotations

import re

from torch import nn
from transformers import PreTrainedModel

from forgetmeter.specs.role import Matrix, Role

# Llama's naming, which most later decoders follow.
_ROLES = {
    "self_attn.q_proj": Role("attention", "query", "self"),
    "self_attn.k_proj": Role("attention", "key", "self"),
    "self_attn.v_proj": Role("attention", "value", "self"),
    "self_attn.o_proj": Role("attention", "output", "self"),
    "mlp.gate_proj": Role("feed_forward", "gate"),
    "mlp.up_proj": Role("feed_forward", "up"),
    "mlp.down_proj": Role("feed_forward", "down"),
}
_LAYER = re.compile(r"^(?:.*\.)?layers\.(\d+)\.(.+)$")


def weight_map(model: PreTrainedModel) -> tuple[Matrix, ...]:
    """List the weight matrices that a recipe can work on, in the order of the model's parameters.

    Embeddings, norms and biases are left alone and not listed. An output projection that is tied to the
    input embedding is listed once, as the head, with ``tied_to`` naming the embedding's parameter.

    Args:
        model: A Llama-style decoder.
    """
    found: list[Matrix] = []
    for name, module in model.named_modules():
        match = _LAYER.match(name)
        if isinstance(module, nn.Linear) and match and match[2] in _ROLES:
            shape = tuple(module.weight.shape)
            found.append(Matrix(f"{name}.weight", _ROLES[match[2]], shape, "decoder", int(match[1])))
    return (*found, *_head(model))


def _head(model: PreTrainedModel) -> tuple[Matrix, ...]:
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        return ()
    modules = {module: name for name, module in model.named_modules()}
    embedding = model.get_input_embeddings()
    tied = embedding is not None and embedding.weight is head.weight
    tied_to = f"{modules[embedding]}.weight" if tied else None
    shape = tuple(head.weight.shape)
    return (Matrix(f"{modules[head]}.weight", Role("head"), shape, "decoder", None, tied_to),)
