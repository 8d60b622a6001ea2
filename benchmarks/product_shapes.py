"""Measures the products of SmolLM2-135M's linear layers, alone: packed, plain, and with layers of one input fused.

    OMP_NUM_THREADS=2 python benchmarks/product_shapes.py [--dtype float32] [--tokens 1000] [--rounds 30]

Prints a Markdown table: the fastest time of each product, and its rate as a share of that of a large one. Below it, the
time of multiplying by some shares of the head's weights only, as a sparse matrix: a head pruned by so much could be
computed as the original's logits, kept, minus this product.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from forgetmeter.scoring.arithmetic import product_rate

SHAPES = {
    "key or value": (192, 576),
    "query or output": (576, 576),
    "query, key and value as one": (960, 576),
    "gate or up": (1536, 576),
    "gate and up as one": (3072, 576),
    "down": (576, 1536),
    "head": (49152, 576),
}
"""Output and input units."""
SPARSE = (0.01, 0.03, 0.1)
"""Shares of the head's weights."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    dtype = getattr(torch, options.dtype)
    rate = product_rate(dtype, torch.device("cpu"), seconds=2)
    print(f"A large product: {rate / 1e9:.0f} GFLOP/s\n\n| layer | packed | plain |\n|:---|---:|---:|")
    for name, (units, inputs) in SHAPES.items():
        given, weight = torch.randn(options.tokens, inputs).to(dtype), torch.randn(units, inputs).to(dtype)
        needed = 2 * options.tokens * units * inputs / rate
        packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        works = (
            multiplying(given, packed),
            lambda given=given, weight=weight: torch.nn.functional.linear(given, weight),
        )
        cells = [
            f"{1e3 * taken:.2f} ms, {needed / taken:.0%}" for taken in (fastest(work, options.rounds) for work in works)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print()
    for share in SPARSE:
        given, weight = torch.randn(options.tokens, 576), torch.randn(SHAPES["head"])
        few = (weight * (torch.rand_like(weight) < share)).to_sparse_csr()
        seconds = fastest(lambda few=few, given=given: few @ given.T, max(options.rounds // 10, 1))
        print(f"{share:.0%} of the head's weights, sparse (float32): {1e3 * seconds:.1f} ms")


def multiplying(given: torch.Tensor, packed: torch.Tensor) -> Callable[[], object]:
    """Return a product by packed weights."""
    return lambda: torch.ops.mkldnn._linear_pointwise(given, packed, None, "none", [], "")


@torch.inference_mode()  # type: ignore[untyped-decorator]
def fastest(work: Callable[[], object], rounds: int) -> float:
    """Return the seconds of the fastest round."""
    work()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


if __name__ == "__main__":
    main()
