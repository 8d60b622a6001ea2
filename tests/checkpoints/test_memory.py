"""Compressing a checkpoint never holds the whole model in memory.

Covers ``checkpoints.streaming`` and ``models.files.writer``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from models.architectures import make_architecture
from tiny_models import make_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from forgetmeter.models.files.writer import CheckpointWriter

CALIBRATED = """
import sys, threading, time
from types import SimpleNamespace
from forgetmeter.checkpoints import compressing
from forgetmeter.config.study import CalibrationSettings

def anonymous():
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))

def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.02)

compressing.psutil = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=0))
before = anonymous()
peak = [before]
threading.Thread(target=watch, daemon=True).start()
text = CalibrationSettings(sequences=2, length=16)
compressing.compress_checkpoint(sys.argv[1], sys.argv[2], sys.argv[3], check=False, calibration=text)
print(peak[0] - before)
"""
PROGRAM = """
import json, resource, sys
import forgetmeter.checkpoints.compressing
from forgetmeter.checkpoints.compressing import compress_checkpoint
compress_checkpoint(sys.argv[2], sys.argv[3], sys.argv[4] + "-tiny", check=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
written = compress_checkpoint(sys.argv[1], sys.argv[3], sys.argv[4], check=False)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([(after - before) * 1024, written.bytes_before, written.reached.selected_zeros]))
"""
LAYERS = 12


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 156 million random weights, with identical layers; 312 MB in shards."""
    folder = tmp_path_factory.mktemp("large") / "source"
    folder.mkdir()
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=LAYERS,
        num_attention_heads=16,
        dtype="bfloat16",
    )
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in LlamaForCausalLM(config).state_dict().items()}
    with CheckpointWriter(folder, shapes, max_shard_bytes=100_000_000) as writer:
        for name, shape in shapes.items():
            generator = torch.Generator().manual_seed(len(name))
            writer.append(name, torch.randn(shape, generator=generator).to(torch.bfloat16))
        writer.finish()
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("recipe", ["wanda:overall:0.5", "gptq:overall:4:group_size=64"])
def test_calibrated_methods_hold_little_in_memory_if_there_is_little(large: Path, tmp_path: Path, recipe: str) -> None:
    """Memory that is not part of a file: less than the model takes in float32, which is twice its file."""
    make_tokenizer().save_pretrained(large)
    command = [sys.executable, "-c", CALIBRATED, str(large), recipe, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    size = sum(file.stat().st_size for file in large.glob("*.safetensors"))
    assert int(done.stdout.splitlines()[-1]) < 2 * size


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is counted in other units")
def test_memory_stays_a_fraction_of_the_checkpoint(large: Path, tmp_path: Path) -> None:
    recipe = "n_m:overall+l1_unstructured:overall:0.6"
    # Exclude one-time costs of a first run, such as imports.
    make_architecture("llama").save_pretrained(tmp_path / "tiny")
    command = [sys.executable, "-c", PROGRAM, str(large), str(tmp_path / "tiny"), recipe, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak, size, zeros = json.loads(done.stdout.splitlines()[-1])
    assert zeros == round(0.6 * LAYERS * (4 * 1024 * 1024 + 3 * 1024 * 2816))
    assert peak < size / 3
