"""Times global magnitude pruning against torch.nn.utils.prune.global_unstructured.

    python benchmarks/pruning.py [--weights 106] [--repeats 2] [--peer-levels 0.1,0.5,0.9]

Both prune the same matrices, of SmolLM2-135M's shapes, from the same seed, alternating, each in its own process. The
best time of each counts. Afterwards, the surviving weights are compared. They may differ only among weights whose
magnitude equals the threshold, where torch does not define which ones are pruned. Needs Linux (``/proc``).
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.compression.methods.l1_unstructured import METHOD

ATTENTION = ((576, 576), (192, 576), (192, 576), (576, 576))
FEED_FORWARD = ((1536, 576), (1536, 576), (576, 1536))
LAYER_WEIGHTS = sum(rows * columns for rows, columns in ATTENTION + FEED_FORWARD)
SCOPES = {"attention": ATTENTION, "feed_forward": FEED_FORWARD, "overall": ATTENTION + FEED_FORWARD}
LEVELS = tuple(tenths / 10 for tenths in range(1, 10))
OPTIONS = {"pool": "global"}


def make_matrices(scope: str, layers: int) -> list[Tensor]:
    """Make a scope's matrices; each depends only on its position in the model."""
    matrices = []
    for layer in range(layers):
        for index, shape in enumerate(SCOPES["overall"]):
            if scope == "overall" or (index < len(ATTENTION)) == (scope == "attention"):
                generator = torch.Generator().manual_seed(100 * layer + index)
                matrices.append(torch.randn(shape, generator=generator).mul_(0.02))
    return matrices


class PeakMemory:
    """Peak resident memory beyond that at the start, in bytes, sampled every 5 ms."""

    def __init__(self) -> None:
        self._start = self._peak = _resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def extra(self) -> int:
        """The peak so far."""
        return self._peak - self._start

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self._peak = max(self._peak, _resident())


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@contextmanager
def measured(result: dict[str, float]) -> Iterator[None]:
    """Store the seconds and peak extra memory of a block in ``result``."""
    gc.collect()
    with PeakMemory() as memory:
        started = time.perf_counter()
        yield
        result["seconds"] = time.perf_counter() - started
    result["bytes"] = memory.extra


def measure_ours(scope: str, level: float, layers: int) -> dict[str, float]:
    """Prune one model, from ranking to pruned tensors, all of which are kept."""
    weights = _weights(scope, layers)
    result: dict[str, float] = {}
    with measured(result):
        pruned = list(METHOD.prepare([Unit.of(weight) for weight in weights], OPTIONS, seed=0)(level))
    assert len(pruned) == len(weights)
    return result


def measure_ours_streamed(scope: str, level: float, layers: int) -> dict[str, float]:
    """The same, but each pruned tensor is dropped before the next, to measure the memory of the method itself."""
    weights = _weights(scope, layers)
    result: dict[str, float] = {}
    with measured(result):
        for _ in METHOD.prepare([Unit.of(weight) for weight in weights], OPTIONS, seed=0)(level):
            pass
    return result


def measure_our_grid(layers: int) -> dict[str, float]:
    """All levels of all scopes; one whole variant at a time is kept, as in a run."""
    scopes = {scope: _weights(scope, layers) for scope in SCOPES}
    result: dict[str, float] = {}
    with measured(result):
        for weights in scopes.values():
            at_level = METHOD.prepare([Unit.of(weight) for weight in weights], OPTIONS, seed=0)
            for level in LEVELS:
                list(at_level(level))
    return result


def measure_peer(scope: str, level: float, layers: int) -> dict[str, float]:
    """Prune modules with torch, then check that the survivors equal ours."""
    matrices = make_matrices(scope, layers)
    modules = []
    for matrix in matrices:
        module = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, device="meta")
        module.weight = nn.Parameter(matrix, requires_grad=False)
        modules.append(module)
    result: dict[str, float] = {}
    with measured(result):
        prune.global_unstructured(
            [(module, "weight") for module in modules], pruning_method=prune.L1Unstructured, amount=level
        )
    result["differ"] = check_survivors(matrices, [module.weight for module in modules], level)
    return result


def check_survivors(matrices: list[Tensor], theirs: list[Tensor], level: float) -> int:
    """Return the number of survivors that differ; all must be ties at the threshold.

    Raises:
        SystemExit: The survivors differ in more than the choice among ties.
    """
    weights = [DenseWeight(matrix) for matrix in matrices]
    ours = METHOD.prepare([Unit.of(weight) for weight in weights], OPTIONS, seed=0)(level)
    different, balance, magnitudes = 0, 0, set()
    for matrix, weight, their in zip(matrices, ours, theirs, strict=True):
        survives, survives_theirs = weight.values() != 0, their != 0
        places = survives != survives_theirs
        different += int(places.sum())
        balance += int(survives.sum()) - int(survives_theirs.sum())
        magnitudes |= set(matrix[places].abs().tolist())
    if balance or len(magnitudes) > 1:
        sys.exit(f"survivors differ: {different} places, magnitudes {sorted(magnitudes)[:5]}, balance {balance}")
    return different


def _weights(scope: str, layers: int) -> list[Weight]:
    return [DenseWeight(matrix) for matrix in make_matrices(scope, layers)]


def in_subprocess(*arguments: object) -> dict[str, float]:
    """Run one measurement in a fresh process."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, float] = json.loads(finished.stdout)
    return answer


def measure(kind: str, *arguments: str) -> dict[str, float]:
    """Run the measurement requested by ``in_subprocess``."""
    if kind == "grid":
        return measure_our_grid(int(arguments[0]))
    function = {"ours": measure_ours, "streamed": measure_ours_streamed, "peer": measure_peer}[kind]
    scope, level, layers = arguments
    return function(scope, float(level), int(layers))


def compare_one_level(layers: int, repeats: int) -> None:
    """Print seconds and memory of one level over all weights, alternating."""
    ours, peer = [], []
    for _ in range(repeats):
        ours.append(in_subprocess("ours", "overall", 0.5, layers))
        peer.append(in_subprocess("peer", "overall", 0.5, layers))
    streamed = in_subprocess("streamed", "overall", 0.5, layers)
    our_seconds, peer_seconds = (min(run["seconds"] for run in runs) for runs in (ours, peer))
    our_bytes, peer_bytes = (max(run["bytes"] for run in runs) for runs in (ours, peer))
    print(f"{'':44}{'ours':>10}{'torch':>10}{'ratio':>8}")
    row("one level (0.5), overall, seconds", our_seconds, peer_seconds)
    row("  extra memory with the pruned tensors, MB", our_bytes / 1e6, peer_bytes / 1e6)
    row("  the same, pruned tensors dropped at once", streamed["bytes"] / 1e6, peer_bytes / 1e6)
    print(f"  survivors: equal, but for {peer[0]['differ']:.0f} of the ties at the threshold")


def compare_grid(layers: int, repeats: int, peer_levels: tuple[float, ...]) -> None:
    """Print the seconds of 9 levels × 3 scopes."""
    ours, total = [], 0.0
    for turn, scope in enumerate(SCOPES):
        if turn < repeats:
            ours.append(in_subprocess("grid", layers)["seconds"])
        runs = [in_subprocess("peer", scope, level, layers)["seconds"] for level in peer_levels]
        total += len(LEVELS) * sum(runs) / len(runs)
    row(f"{len(LEVELS)} levels x {len(SCOPES)} scopes, seconds", min(ours), total)
    measured_calls = len(peer_levels) * len(SCOPES)
    print(f"  torch: {len(LEVELS) * len(SCOPES)} calls, from the mean of {measured_calls} measured ones")


def row(name: str, ours: float, peer: float) -> None:
    """Print one line of the table."""
    print(f"{name:44}{ours:10.2f}{peer:10.2f}{peer / ours:7.1f}x", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=float, default=106, help="millions of weights (default 106)")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each, of which the best counts (default 2)")
    parser.add_argument("--peer-levels", default="0.1,0.5,0.9", help="levels at which torch is timed per scope")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure)))
        return
    layers = max(1, round(arguments.weights * 1e6 / LAYER_WEIGHTS))
    matrices = layers * len(SCOPES["overall"])
    print(
        f"{layers * LAYER_WEIGHTS / 1e6:.1f} M float32 weights in {matrices} matrices, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    compare_one_level(layers, arguments.repeats)
    compare_grid(layers, arguments.repeats, tuple(float(level) for level in arguments.peer_levels.split(",")))


if __name__ == "__main__":
    main()
