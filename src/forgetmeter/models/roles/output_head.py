"""The output head: the projection onto the vocabulary."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Head:
    """A model's projection onto its vocabulary.

    Attributes:
        parameter: Its weight's name, even if the model lists the weight only under the embedding's name.
        module: The layer.
        tied_to: Name of the embedding's parameter, if it is the same tensor.
    """

    parameter: str
    module: nn.Linear
    tied_to: str | None


def embedding_rows(model: PreTrainedModel) -> int:
    """Return the number of input embeddings of a model."""
    embedding = model.get_input_embeddings()
    rows = getattr(embedding, "num_embeddings", None) or getattr(model.config.get_text_config(), "vocab_size", None)
    return int(rows) if rows else sys.maxsize


def find_head(model: PreTrainedModel) -> Head | None:
    """Return the head of a model, or ``None`` if it is not a separate layer.

    DeBERTa-v2's new head multiplies by the input embedding; transformers then returns the dense layer before it as the
    output embedding, which is recognized by its shape.
    """
    module, embedding = _output_layer(model), model.get_input_embeddings()
    # A packed head has no weight until it is accessed.
    is_plain = isinstance(module, nn.Linear) and hasattr(module, "weight")
    if not isinstance(module, nn.Linear) or not is_plain or not isinstance(embedding, nn.Embedding):
        return None
    vocabulary = {embedding.num_embeddings, getattr(model.config.get_text_config(), "vocab_size", None)}
    if module.out_features not in vocabulary and module.weight.shape[0] not in vocabulary:
        return None
    names = {found: name for name, found in model.named_modules()}
    # Of an EncoderDecoderModel, the head may share the decoder's embedding, and texts are read by the encoder's.
    embeddings = (each for each in (embedding, *names) if isinstance(each, nn.Embedding))
    shared = next((each for each in embeddings if each.weight is module.weight), None)
    tied_to = f"{names[shared]}.weight" if shared is not None else None
    return Head(f"{names[module]}.weight", module, tied_to)


def rest_of_head(head: Head, model: PreTrainedModel) -> str | None:
    """Return the name of the weight, transposed, that MobileBERT's head has beside its own.

    The model multiplies by both without calling their layers. Other models have none.
    """
    path = head.parameter.rpartition(".")[0].rpartition(".")[0]
    for name, each in model.get_submodule(path).named_children():
        if isinstance(each, nn.Linear) and each.in_features == head.module.out_features:
            return f"{path}.{name}.weight"
    return None


def _output_layer(model: PreTrainedModel) -> nn.Module | None:
    """Return the layer that predicts tokens; that of a whole language model inside a wrapper (Nemotron-H Omni)."""
    inner = [part for part in model.children() if isinstance(part, PreTrainedModel)]
    layers = (part.get_output_embeddings() for part in (model, *inner))
    return next((layer for layer in layers if layer is not None), None)
