"""How architectures pack several projections into one parameter.

Architectures with the same names can pack differently, and a wrong guess would silently compress the wrong weights. So
only architectures whose modelling code was read are listed; fused parameters of others have an unknown role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch.nn.modules.conv import _ConvNd

from forgetmeter.specs.ranges import Ranges, merged
from forgetmeter.specs.role import Form, Part

Layout = Callable[[Any, int], Iterator[tuple[Part, int]]]
"""Yields the parts of a fused parameter in order, each with its number of output units."""


def fused_parts(config: Any, path: str, length: int) -> dict[Part, Ranges] | None:  # noqa: ANN401
    """Return the output units of each part of a fused projection, by its path in a block, such as ``attn.c_attn``.

    Returns:
        The ranges of each part's output units, which cover all of them once; ``None`` if the architecture is not known
        to fuse this module, or not in this way.
    """
    last = path.rpartition(".")[2]
    keys = ((config.model_type, path), (config.model_type, last), ("", last))
    layout = next((_LAYOUTS[key] for key in keys if key in _LAYOUTS), None)
    return None if layout is None else _cover(layout(config, length), length)


def gate_and_up(module: Any, path: str, length: int) -> dict[Part, Ranges] | None:  # noqa: ANN401 - any module
    """Return the output units of gate and up in a ``gate_up_proj``: one after the other, or in turn (GPT-OSS)."""
    if path.rpartition(".")[2] != "gate_up_proj":
        return None
    if getattr(module, "is_concatenated", True):
        return {"gate": ((0, length // 2),), "up": ((length // 2, length),)}
    every_other = [tuple((at, at + 1) for at in range(first, length, 2)) for first in (0, 1)]
    return {"gate": every_other[0], "up": every_other[1]}


def bare_form(module: Any, parameter: str) -> Form | None:  # noqa: ANN401 - any module
    """Return how a bare tensor stores matrices, one per expert or head; ``None`` if unknown.

    transformers declares it for most modules of experts.
    """
    if hasattr(module, "is_transposed"):
        return "transposed" if module.is_transposed else "tensor"
    if isinstance(module, _ConvNd):
        return "array"
    kind = type(module).__name__
    return _BARE_FORMS.get((kind, parameter)) or _BARE_FORMS.get((kind, ""))


def _cover(lengths: Iterable[tuple[Part, int]], length: int) -> dict[Part, Ranges] | None:
    ranges: dict[Part, list[tuple[int, int]]] = {}
    start = 0
    for part, count in lengths:
        ranges.setdefault(part, []).append((start, start + count))
        start += count
    return {part: merged(found) for part, found in ranges.items()} if start == length else None


def _one_after_another(*parts: Part) -> Layout:
    def layout(_config: Any, length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
        yield from ((part, length // len(parts)) for part in parts)

    return layout


def _in_turn(parts: Sequence[Part], times: int, length: int) -> Iterator[tuple[Part, int]]:
    """Yield the parts in turn, all of the same size, as often as given."""
    yield from ((part, length // (times * len(parts))) for _ in range(times) for part in parts)


def _phi3_attention(config: Any, _length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    yield "query", config.num_attention_heads * head
    yield "key", config.num_key_value_heads * head
    yield "value", config.num_key_value_heads * head


def _head_by_head(config: Any, length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
    """GPT-NeoX, BLOOM, the first Falcons: query, key and value of the first head, then of the second, and so on."""
    yield from _in_turn(("query", "key", "value"), config.num_attention_heads, length)


def _codegen(_config: Any, length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
    """CodeGen: four shards, each with its queries, values and keys."""
    yield from _in_turn(("query", "value", "key"), 4, length)


def _queries_first(config: Any, length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
    """DBRX: all queries, then fewer keys and as many values."""
    yield "query", config.hidden_size
    yield "key", (length - config.hidden_size) // 2
    yield "value", (length - config.hidden_size) // 2


def _bigcode(config: Any, length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
    yield from (_queries_first if config.multi_query else _head_by_head)(config, length)


def _queries_and_gates(config: Any, length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
    """Qwen3-Next: the query of the first head, then its gate, and so on."""
    yield from _in_turn(("query", "gate"), config.num_attention_heads, length)


def _from_latent(config: Any, length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
    """DeepSeek-V2's latent attention: the key of the first head, except its rotary part, then its value, and so on."""
    # Mistral Large 4's layers without rotary positions have longer keys.
    of_head = length // config.num_attention_heads
    for _ in range(config.num_attention_heads):
        yield "key", of_head - config.v_head_dim
        yield "value", config.v_head_dim


def _falcon(config: Any, length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
    """Falcon: per group, the queries that share a key and a value, then this key and value."""
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    if config.new_decoder_architecture:
        groups = config.num_kv_heads
    elif config.multi_query:
        groups = 1
    else:
        yield from _head_by_head(config, length)
        return
    for _ in range(groups):
        yield "query", heads // groups * size
        yield "key", size
        yield "value", size


_QUERY_KEY_VALUE = _one_after_another("query", "key", "value")
_GATE_UP = _one_after_another("gate", "up")
_LAYOUTS: Mapping[tuple[str, str], Layout] = {
    # The name says it.
    ("", "kv_b_proj"): _from_latent,
    ("bloom", "query_key_value"): _head_by_head,
    ("codegen", "qkv_proj"): _codegen,
    ("dbrx", "Wqkv"): _queries_first,
    ("deberta", "in_proj"): _head_by_head,
    ("falcon", "query_key_value"): _falcon,
    ("gpt2", "attn.c_attn"): _QUERY_KEY_VALUE,
    ("gpt2", "crossattention.c_attn"): _one_after_another("key", "value"),
    ("gpt_bigcode", "attn.c_attn"): _bigcode,
    ("gpt_neox", "query_key_value"): _head_by_head,
    ("gpt_neox_japanese", "query_key_value"): _head_by_head,
    ("granitemoehybrid", "shared_mlp.input_linear"): _GATE_UP,
    ("granitemoeshared", "shared_mlp.input_linear"): _GATE_UP,
    ("jetmoe", "mlp.input_linear"): _GATE_UP,
    ("jetmoe", "self_attention.kv_proj"): _one_after_another("key", "value"),
    ("modernbert", "Wi"): _GATE_UP,
    ("modernbert", "Wqkv"): _QUERY_KEY_VALUE,
    ("modernbert-decoder", "Wi"): _GATE_UP,
    ("mpt", "Wqkv"): _QUERY_KEY_VALUE,
    ("openai-gpt", "attn.c_attn"): _QUERY_KEY_VALUE,
    ("persimmon", "query_key_value"): _head_by_head,
    ("phi3", "qkv_proj"): _phi3_attention,
    ("phi4_multimodal", "qkv_proj"): _phi3_attention,
    ("qwen3_5_moe_text", "q_proj"): _queries_and_gates,
    ("qwen3_5_text", "q_proj"): _queries_and_gates,
    ("qwen3_next", "q_proj"): _queries_and_gates,
    ("qwen4_exp_text", "q_proj"): _queries_and_gates,
}
# By class and, if its tensors differ, by parameter.
_BARE_FORMS: Mapping[tuple[str, str], Form] = {
    # All experts in one matrix.
    **{("DbrxExpertGLU", name): "array" for name in ("w1", "v1", "w2")},
    **{("XLNetRelativeAttention", name): "array" for name in "qkvor"},
    ("FunnelRelMultiheadAttention", "r_kernel"): "array",
    ("Glm5NextTextIndexer", "index_kpool_compress_gate"): "tensor",
    ("GroupedLinearLayer", ""): "transposed",
    ("InklingRelativeLogits", "proj"): "array",
    ("Inkling2RelativeLogits", "proj"): "array",
    ("InklingSharedExperts", ""): "tensor",
    ("JetMoeParallelExperts", ""): "tensor",
    ("Llama4TextExperts", ""): "transposed",
    ("LongcatFlashExperts", ""): "tensor",
    ("RecurrentGemmaRglru", ""): "transposed",
    ("Step3p7Experts", ""): "tensor",
    **{("ZambaMambaMixer", name): "tensor" for name in ("x_proj_weight", "dt_proj_weight")},
}
