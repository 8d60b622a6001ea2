"""Recipes of the studies, by what they are compared for."""

from __future__ import annotations

TENTHS = tuple(round(0.1 * each, 1) for each in range(1, 10))


def pruned(scope: str) -> list[str]:
    """Return the curve of single weights pruned by magnitude."""
    return [f"l1_unstructured:{scope}:{level}" for level in TENTHS]


ORDERS = [
    (f"l1_unstructured:overall:{level}+dynamic_int8:overall", f"dynamic_int8:overall+l1_unstructured:overall:{level}")
    for level in (0.2, 0.4)
]
"""8 bits: prune first, quantize first."""
FEW_BITS = [
    (
        f"l1_unstructured:overall:0.4+round_to_nearest:overall:{bits}",
        f"round_to_nearest:overall:{bits}+l1_unstructured:overall:0.4",
        f"l1_unstructured:overall:0.2+round_to_nearest:overall:{bits}+l1_unstructured:overall:0.4",
    )
    for bits in (4, 3)
]
"""Prune first, quantize first, half of the pruning on each side."""

STRUCTURES = {
    "whole heads": ("attention", [f"l1_heads:attention:{level}" for level in (0.25, 0.5)]),
    "rows of each feed-forward matrix (by L1 norm)": (
        "feed_forward",
        [f"ln_structured:feed_forward:{level}" for level in (0.25, 0.5)],
    ),
    "rows of each matrix (by L1 norm)": ("overall", [f"ln_structured:overall:{level}" for level in (0.25, 0.5)]),
    "random rows of each matrix": ("overall", [f"random_structured:overall:{level}" for level in (0.25, 0.5)]),
    "1 or 2 of every 4 weights (N:M)": ("overall", [f"n_m:overall:m=4:n={zeros}" for zeros in (1, 2)]),
    "half of the rank of feed-forward": ("feed_forward", ["svd:feed_forward:0.5"]),
    "half of the rank of all matrices": ("overall", ["svd:overall:0.5"]),
    "half of the layers": ("overall", ["drop_layers:overall:0.5"]),
}
"""Structures with the scope in which single weights are compared with them."""

BITS = {
    "plain, one scale per output unit": "round_to_nearest:overall:{bits}",
    "plain, groups of 32": "round_to_nearest:overall:{bits}:group_size=32",
    "clipped, one scale per output unit": "round_to_nearest:overall:{bits}:clip=mse",
    "HQQ, groups of 32": "hqq:overall:{bits}:group_size=32",
    "GPTQ, groups of 32": "gptq:overall:{bits}:group_size=32",
    "AWQ, groups of 32": "awq:overall:{bits}:group_size=32",
}
