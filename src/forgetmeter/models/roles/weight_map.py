"""Maps a model's weight matrices to their roles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from transformers import PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from forgetmeter.errors import UserError
from forgetmeter.models.roles.fused_layouts import bare_form, fused_parts, gate_and_up
from forgetmeter.models.roles.output_head import Head, find_head, rest_of_head
from forgetmeter.models.roles.role_names import role_inside_block, role_outside_blocks
from forgetmeter.specs.ranges import Ranges, count
from forgetmeter.specs.role import AttentionKind, Form, Matrix, Part, Role, Stack

# The first number in a name is the block's; the rest is the name within the block.
_BLOCK = re.compile(r"^(?:.*?\.)?(\d+)\.(.+)$")
_CROSS_BLOCK = re.compile(r"^(?:.*?\.)?(\d+)\.cross_attn\.")
_UNKNOWN, _MIXER = Role("unknown"), Role("mixer")
OTHER_EMBEDDING = "other embedding"
LOOKED_UP_EXPERTS = "experts that are looked up"
CONVOLUTION = "convolution"
NORM = "norm"
ROUTER = "router of experts"
QUANTIZED = "already quantized"
NO_MATRIX = "bias, scale or state, not a matrix"
RESIDUAL = "learned residual connection"
# Weights that the code of Mamba and DeepSeek-V4 multiplies with directly, so that no other layer can replace them.
_NO_LAYERS = ("dt_proj", "o_a_proj")
NOT_USED = "not used to predict tokens"
OTHER_MODALITY = "reads images or sound, not text"

# Where no module holds exactly what reads texts: T5Gemma 2, Git, Ernie 4.5 VL, Chameleon, Phi-4-multimodal.
_OTHER_MODALITY = re.compile(
    r"(^|\.)(vision_tower|multi_modal_projector|image_encoder|visual_projection|vision_moe|vqmodel|embed_tokens_extend|"
    r"patch_embeddings)\."
)
_MOE = re.compile(r"MoE$")
_ROUTERS = ("gate", "router", "shared_expert_gate")
_ROUTER_CLASS = re.compile(r"Router$|Gating$|MoEV1Gate$")
# AltUp and LAuReL are Gemma 3n's.
_OF_ALL_HEADS: tuple[Part | None, ...] = ("latent", "indexer")
_NORMS: Mapping[Part | None, str] = {"query": "q_norm", "key": "k_norm"}
_NORM_OF_OUTPUTS = "attn_sub_norm"
"""BitNet's, in front of the output projection."""
_RESIDUAL = re.compile(r"AttentionResidual|HyperConnection|HyperHead|hyper_connection|AltUp|altup|Laurel")
_NO_MATRIX = re.compile(r"bias|scale$|embed|mask_emb|_ape$|A_log$|^D$|^time_mix_")
# LUKE's entities, and Longformer's tokens that attend to all others: no task has any.
_NOT_USED = re.compile(r"(^|\.)(pooler|contact_head|entity_embeddings|entity_predictions|\w2\w_query|\w+_global)(\.|$)")


def weight_map(model: PreTrainedModel) -> tuple[Matrix, ...]:
    """Return the weight matrices that recipes can compress, in the order of the model's parameters, the head last.

    Together with ``left_alone``, this covers every parameter of two or more dimensions once. Parameters shared by
    several layers have their first name. A head tied to the token embedding has its own name, with ``tied_to`` naming
    the embedding's parameter, which is in the map as well. Fused parameters are listed part by part. All others have
    the role ``unknown``.

    Args:
        model: A masked language model, an encoder-decoder or a decoder; may be on the ``meta`` device.

    Raises:
        UserError: It is not a model of transformers.
    """
    if not isinstance(model, PreTrainedModel):
        raise UserError(f"{type(model).__name__} is not a transformers PreTrainedModel; give loaded.model")
    return _survey(model)[0]


def shared_parameters(model: PreTrainedModel) -> dict[str, list[str]]:
    """Return all names of each parameter that has several, by its first name."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {some[0]: some for some in names.values() if len(some) > 1}


def names_of_shared(model: PreTrainedModel) -> dict[str, list[str]]:
    """Return all names of each parameter that has several, by any of them."""
    return {name: names for names in shared_parameters(model).values() for name in names}


def left_alone(model: PreTrainedModel) -> dict[str, str]:
    """Return the reason why each other parameter of two or more dimensions, such as a convolution, is not in it."""
    return _survey(model)[1]


@dataclass(frozen=True)
class _Place:
    """A parameter with everything that determines its roles."""

    parameter: str
    tensor: Tensor
    module: nn.Module
    stack: Stack
    config: PretrainedConfig
    classes: tuple[str, ...]

    def matrices(self) -> tuple[Matrix, ...]:
        path = self.parameter.removesuffix(".weight")
        block = _BLOCK.match(path)
        form = _form(self.module, self.parameter)
        whole = Matrix(
            parameter=self.parameter,
            role=_UNKNOWN,
            shape=tuple(self.tensor.shape),
            stack=self.stack,
            layer=int(block[1]) if block else None,
            architecture=self.config.model_type,
            form=form or "tensor",
        )
        if form is None:
            return (whole,)
        if block is None:
            return (replace(whole, role=role_outside_blocks(path) or _UNKNOWN),)
        classes = self.classes[-len(block[2].split(".")) :]
        role = role_inside_block(block[2], classes)
        # Any fused parameter of a mixer is part of the mixer.
        fused = None if role == _MIXER else self._fused(block[2], whole)
        if fused is None:
            return (replace(whole, role=role or _UNKNOWN),)
        return tuple(_parts(whole, *fused, kind=None if role is None else role.attention))

    def _fused(self, path: str, whole: Matrix) -> tuple[int, dict[Part, Ranges]] | None:
        axis = len(whole.shape) - 1 if whole.has_inputs_first else len(whole.shape) - 2
        length = whole.shape[axis]
        parts = gate_and_up(self.module, path, length) or fused_parts(_of_block(self.config, whole.layer), path, length)
        return None if parts is None else (axis, parts)


def _parts(whole: Matrix, axis: int, parts: Mapping[Part, Ranges], *, kind: AttentionKind | None) -> Iterator[Matrix]:
    for part, ranges in parts.items():
        role = Role("feed_forward", part) if kind is None else Role("attention", part, kind)
        shape = (*whole.shape[:axis], count(ranges), *whole.shape[axis + 1 :])
        yield replace(whole, role=role, shape=shape, axis=axis, ranges=ranges)


def _survey(model: PreTrainedModel) -> tuple[tuple[Matrix, ...], dict[str, str]]:
    modules = dict(model.named_modules())
    head = find_head(model)
    if head is not None and is_quantized(head.module.weight):
        head = None
    rest = None if head is None else rest_of_head(head, model)
    only_stack, config, tower = _only_stack(model), text_config(model), _text_tower(model)
    # The transform before the head of ModernVBERT; no other module of an encoder is outside its base model.
    outside = [
        f"{name}." for name, _ in model.named_children() if only_stack == "encoder" and name != model.base_model_prefix
    ]
    embedding = _token_embedding(model)
    matrices: list[Matrix] = []
    reasons: dict[str, str] = {}
    for name, tensor in model.named_parameters():
        if tensor.dim() < 2:
            continue
        # XLM-RoBERTa lists the weight that embedding and head share under the head's name.
        known_as = head.tied_to if head is not None and name == head.parameter else name
        if tensor is embedding:
            matrices.append(_embedding_matrix(known_as or name, tensor, model, only_stack))
        if tensor is embedding or known_as is None:
            continue
        is_other = not name.startswith((tower, *outside)) or _OTHER_MODALITY.search(name)
        reason = OTHER_MODALITY if is_other else reason_to_leave_alone(modules, name)
        if reason is not None:
            reasons[name] = reason
            continue
        module = modules[name.rpartition(".")[0]]
        place = _Place(name, tensor, module, only_stack or _stack(name), config, _classes(modules, name))
        found = place.matrices()
        if only_stack is not None and any(each.role.attention == "cross" for each in found):
            reasons[name] = NOT_USED
            continue
        attention = modules.get(name.removesuffix(".weight").rpartition(".")[0])
        matrices.extend(replace(each, heads=head_count(config, each, attention)) for each in found)
    not_run = _layers_not_run(matrices, reasons)
    reasons.update((each.parameter, NOT_USED) for each in matrices if each.layer in not_run)
    matrices = [each for each in matrices if each.parameter not in reasons]
    if head is not None:
        whole = _head_matrix(head, model, only_stack or "decoder")
        parts = [replace(each, role=whole.role, form="transposed") for each in matrices if each.parameter == rest]
        matrices = [each for each in matrices if each.parameter != rest]
        matrices += [replace(whole, form="tensor"), *parts] if parts else [whole]
    return tuple(matrices), reasons


def _layers_not_run(matrices: Sequence[Matrix], reasons: Mapping[str, str]) -> set[int]:
    """Return the layers whose only attention is cross-attention to what no task has: Mllama skips them on text."""
    numbers = {
        int(block[1]) for name, why in reasons.items() if why == NOT_USED and (block := _CROSS_BLOCK.match(name))
    }
    return numbers - {each.layer for each in matrices if each.role.component in ("attention", "mixer")}


def text_config(model: PreTrainedModel) -> Any:  # noqa: ANN401 - each architecture has its own configuration
    """Return the configuration of the part of a model that reads texts."""
    is_whole = getattr(model.config, "is_encoder_decoder", False)
    return model.config if is_whole else model.config.get_text_config()


def _text_tower(model: PreTrainedModel) -> str:
    """Return the beginning of the names of all parameters that read texts; empty if all of them do."""
    if text_config(model) is model.config:
        return ""
    decoder = model.get_decoder()
    return next((f"{name}." for name, module in model.named_modules() if module is decoder and name), "")


def _head_matrix(head: Head, model: PreTrainedModel, stack: Stack) -> Matrix:
    return Matrix(
        parameter=head.parameter,
        role=Role("head"),
        shape=tuple(head.module.weight.shape),
        stack=stack,
        tied_to=head.tied_to,
        architecture=model.config.model_type,
    )


def _token_embedding(model: PreTrainedModel) -> Tensor | None:
    """Return the weight of the layer that looks up tokens, which other layers may share; ``None`` if quantized."""
    embedding = model.get_input_embeddings()
    return embedding.weight if isinstance(embedding, nn.Embedding) and not is_quantized(embedding.weight) else None


def _embedding_matrix(parameter: str, tensor: Tensor, model: PreTrainedModel, stack: Stack | None) -> Matrix:
    return Matrix(
        parameter=parameter,
        role=Role("token_embedding"),
        shape=tuple(tensor.shape),
        stack=stack or _stack(parameter),
        architecture=model.config.model_type,
        form="lookup",
    )


def _form(module: nn.Module, parameter: str) -> Form | None:
    """Return how a parameter stores a matrix, or one matrix per expert; ``None`` if unknown."""
    path, _, name = parameter.rpartition(".")
    if isinstance(module, nn.Linear):
        return "tensor" if path.rpartition(".")[2] in _NO_LAYERS else "linear"
    return "conv1d" if isinstance(module, Conv1D) else bare_form(module, name)


def _classes(modules: Mapping[str, nn.Module], parameter: str) -> tuple[str, ...]:
    """Return the class names of the modules on the way to a parameter, without the layer whose weight it is."""
    *names, _ = parameter.removesuffix(".weight").split(".")
    return tuple(type(modules[".".join(names[: end + 1])]).__name__ for end in range(len(names)))


def _only_stack(model: PreTrainedModel) -> Stack | None:
    if getattr(model.config, "is_encoder_decoder", False):
        return None
    # Architectures such as BERT can be either: the class decides, not the configuration.
    is_masked = any(kind.__name__.endswith("ForMaskedLM") for kind in type(model).__mro__)
    return "encoder" if is_masked else "decoder"


def _stack(name: str) -> Stack:
    names = name.split(".")
    return "encoder" if "encoder" in names and "decoder" not in names[: names.index("encoder")] else "decoder"


def reason_to_leave_alone(modules: Mapping[str, nn.Module], parameter: str) -> str | None:
    """Return why recipes leave a parameter alone, or ``None`` if they do not."""
    path = parameter.rpartition(".")[0]
    module = modules[path]
    if is_quantized(module.get_parameter(parameter.rpartition(".")[2])):
        return QUANTIZED
    if isinstance(module, nn.Embedding):
        # Doge's experts are rows of two such layers.
        is_expert = _MOE.search(type(modules[path.rpartition(".")[0]]).__name__)
        return LOOKED_UP_EXPERTS if is_expert else OTHER_EMBEDDING
    is_separable = type(modules[path.rpartition(".")[0]]).__name__.startswith("Separable")
    is_convolution = isinstance(module, _ConvNd) and (prod(module.kernel_size) > 1 or is_separable)
    if is_convolution or type(module).__name__.endswith("ShortConvolution"):
        return CONVOLUTION
    if type(module).__name__.endswith("Norm"):
        return NORM
    if _NOT_USED.search(path):
        return NOT_USED
    classes = _classes(modules, parameter)
    if any(_RESIDUAL.search(name) for name in (*classes, path)):
        return RESIDUAL
    is_bare = not isinstance(module, nn.Linear | Conv1D)
    if is_bare and any(name.endswith(("Embedding", "Embeddings")) for name in classes):
        return OTHER_EMBEDDING
    if is_bare and _NO_MATRIX.search(parameter.rpartition(".")[2]):
        return NO_MATRIX
    return ROUTER if _is_router(modules, path) else None


def is_quantized(tensor: nn.Parameter) -> bool:
    """Whether a parameter is a subclass such as torchao's, not floating-point numbers."""
    return type(tensor) is not nn.Parameter


def _is_router(modules: Mapping[str, nn.Module], path: str) -> bool:
    """Whether a module routes tokens to experts, or is part of one that does."""
    names = path.split(".")
    for end in range(len(names), 0, -1):
        parent = modules.get(".".join(names[: end - 1]))
        is_sibling = names[end - 1] in _ROUTERS and hasattr(parent, "experts")
        is_named = names[end - 1].startswith("router")
        if is_sibling or is_named or _ROUTER_CLASS.search(type(modules[".".join(names[:end])]).__name__):
            return True
    return False


def head_count(config: Any, matrix: Matrix, attention: nn.Module | None = None) -> int | None:  # noqa: ANN401
    """Return the number of heads of a projection, whose units are grouped by head as in transformers' attention.

    Args:
        config: The configuration of the model or text tower.
        matrix: The projection.
        attention: The module that it is a layer of.

    Returns:
        The number of query heads for query and output, of key-value heads for key and value; 0 if all heads depend on
        each unit; ``None`` if the matrix is not part of attention or its size does not match.
    """
    # DiffLlama subtracts heads from one another in pairs, and so has no heads of its own for each output unit.
    is_whole = matrix.role.part is not None and len(matrix.shape) == 2
    if matrix.role.component != "attention" or not is_whole or config.model_type == "diffllama":
        return None
    if matrix.role.part in _OF_ALL_HEADS:
        return 0
    # T5Gemma and BERT2BERT have a configuration for each stack.
    own = getattr(config, matrix.stack, None)
    config = _of_block(own.get_text_config() if isinstance(own, PretrainedConfig) else config, matrix.layer)
    queries = _query_heads(config, matrix)
    heads = _key_value_heads(config, queries) if matrix.role.part in ("key", "value") else queries
    outputs = matrix.shape[1 - matrix.input_axis]
    units = matrix.inputs if matrix.role.part == "output" else outputs
    if not heads or units % heads != 0:
        return None
    return 0 if _is_normed_as_one(attention, matrix, units, heads) else heads


def _is_normed_as_one(attention: nn.Module | None, matrix: Matrix, units: int, heads: int) -> bool:
    """Whether a norm over all heads follows, so that each unit changes the scale of every head."""
    if matrix.role.part == "output" or heads == 1:
        return False
    weight = getattr(getattr(attention, _NORMS.get(matrix.role.part, ""), None), "weight", None)
    return hasattr(attention, _NORM_OF_OUTPUTS) or (weight is not None and weight.numel() == units)


def _of_block(config: Any, layer: int | None) -> Any:  # noqa: ANN401
    """Return the configuration of a block, whose sizes differ between blocks in some architectures (Dots 3)."""
    is_own = layer is not None and getattr(config, "is_heterogeneous", False)
    return config.per_layer_config[layer] if is_own else config


def _query_heads(config: Any, matrix: Matrix) -> int | None:  # noqa: ANN401
    # BART configures each stack separately.
    heads = getattr(config, f"{matrix.stack}_attention_heads", None) or getattr(config, "num_attention_heads", None)
    return heads if isinstance(heads, int) else None


def _key_value_heads(config: Any, queries: int | None) -> int | None:  # noqa: ANN401
    if config.model_type == "falcon":
        if config.new_decoder_architecture:
            return int(config.num_kv_heads)
        return 1 if config.multi_query else queries
    return getattr(config, "num_key_value_heads", None) or queries
