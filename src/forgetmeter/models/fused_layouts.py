"""How architectures pack several projections into one parameter.

Architectures with the same names can pack differently, and a wrong guess would silently compress the wrong weights. So
only architectures whose modelling code was read are listed; fused parameters of others have an unknown role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import cycle
from typing import Any

from forgetmeter.specs.ranges import Ranges, merged
from forgetmeter.specs.role import Part

Layout = Callable[[Any, int], Iterator[tuple[Part, int]]]
"""Yields the parts of a fused parameter in order, each with its number of output units."""


def fused_parts(config: Any, path: str, length: int) -> dict[Part, Ranges] | None:  # noqa: ANN401
    """Return the output units of each part of a fused projection, by its path in a block, such as ``attn.c_attn``.

    Returns:
        The ranges of each part's output units, which cover all of them once; ``None`` if the architecture is not known
        to fuse this module, or not in this way.
    """
    layout = _LAYOUTS.get((config.model_type, path)) or _LAYOUTS.get((config.model_type, path.rpartition(".")[2]))
    return None if layout is None else _cover(layout(config, length), length)


def halves(length: int, first: Part, second: Part) -> dict[Part, Ranges]:
    """Return the layout of two consecutive projections of equal size."""
    return {first: ((0, length // 2),), second: ((length // 2, length),)}


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


def _phi3_attention(config: Any, _length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    yield "query", config.num_attention_heads * head
    yield "key", config.num_key_value_heads * head
    yield "value", config.num_key_value_heads * head


def _head_by_head(config: Any, length: int) -> Iterator[tuple[Part, int]]:  # noqa: ANN401
    """GPT-NeoX, BLOOM, the first Falcons: query, key and value of the first head, then of the second, and so on."""
    count = 3 * config.num_attention_heads
    parts: tuple[Part, ...] = ("query", "key", "value")
    yield from ((part, length // count) for part, _ in zip(cycle(parts), range(count), strict=False))


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


_LAYOUTS: Mapping[tuple[str, str], Layout] = {
    ("bloom", "query_key_value"): _head_by_head,
    ("falcon", "query_key_value"): _falcon,
    ("gpt2", "attn.c_attn"): _one_after_another("query", "key", "value"),
    ("gpt2", "crossattention.c_attn"): _one_after_another("key", "value"),
    ("gpt_neox", "query_key_value"): _head_by_head,
    ("modernbert", "Wi"): _one_after_another("gate", "up"),
    ("modernbert", "Wqkv"): _one_after_another("query", "key", "value"),
    ("phi3", "gate_up_proj"): _one_after_another("gate", "up"),
    ("phi3", "qkv_proj"): _phi3_attention,
}
