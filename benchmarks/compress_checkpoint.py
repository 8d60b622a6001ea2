"""Times compressing a checkpoint that is larger than memory against copying its files.

    python benchmarks/compress_checkpoint.py [--layers 32] [--level 0.5] [--folder DIR]

Writes a Llama-shaped checkpoint of random bfloat16 weights in shards (6.7 billion parameters and 13.5 GB with 32
layers), copies its files with ``cp``, prunes it with ``forgetmeter compress``, counts the zeros in the result, and
removes everything, even on failure. Needs free disk space of twice the checkpoint's size, and Linux.

Each is timed until its bytes are on the disk (``sync`` after ``cp``). Before each, the source is dropped from the page
cache if the system allows it (``posix_fadvise``).
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlamaConfig

from forgetmeter.models.files.model_files import tensor_headers
from forgetmeter.models.files.safetensors_file import stored_tensor
from forgetmeter.models.files.writer import CheckpointWriter

HIDDEN, INNER, VOCABULARY = 4096, 11008, 32000
SHARD_BYTES = 5_000_000_000
KIB = 1024


def shapes(layers: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors of Llama 7B with N layers."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    for layer in range(layers):
        block = f"model.layers.{layer}"
        found |= {f"{block}.self_attn.{part}_proj.weight": (HIDDEN, HIDDEN) for part in "qkvo"}
        found |= {f"{block}.mlp.{part}_proj.weight": (INNER, HIDDEN) for part in ("gate", "up")}
        found[f"{block}.mlp.down_proj.weight"] = (HIDDEN, INNER)
        found |= {f"{block}.{norm}.weight": (HIDDEN,) for norm in ("input_layernorm", "post_attention_layernorm")}
    return found | {"model.norm.weight": (HIDDEN,), "lm_head.weight": (VOCABULARY, HIDDEN)}


def write_checkpoint(folder: Path, layers: int) -> None:
    """Write random weights, each tensor from its own generator."""
    folder.mkdir()
    LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=layers,
        num_attention_heads=32,
        dtype="bfloat16",
        architectures=["LlamaForCausalLM"],
    ).save_pretrained(folder)
    tensors = shapes(layers)
    with CheckpointWriter(folder, tensors, max_shard_bytes=SHARD_BYTES) as writer:
        for seed, (name, shape) in enumerate(tensors.items()):
            generator = torch.Generator().manual_seed(seed)
            writer.append(name, torch.randn(shape, generator=generator, dtype=torch.bfloat16).mul_(0.02))
        writer.finish()


def forget(folder: Path) -> None:
    """Drop a folder's files from the page cache."""
    os.sync()
    for file in folder.iterdir():
        with file.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def time_copy(source: Path, target: Path) -> float:
    """Return the seconds until the copied bytes are on the disk."""
    forget(source)
    started = time.perf_counter()
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    subprocess.run(["sync", *(str(file) for file in target.iterdir())], check=True)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Process:
    """Time and memory of a command."""

    seconds: float
    processor_seconds: float
    peak_bytes: int


def compress(source: Path, recipe: str, target: Path) -> Process:
    """Compress with the command line."""
    forget(source)
    command = [sys.executable, "-m", "forgetmeter", "compress", str(source), recipe, "--out", str(target)]
    started = time.perf_counter()
    child = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit("compressing failed")
    return Process(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * KIB)


def count_zeros(folder: Path) -> int:
    """Count the zeros of all matrices in blocks."""
    headers = tensor_headers(sorted(folder.glob("*.safetensors")))
    matrices = (stored_tensor(header).read() for header in headers if "_proj." in header.name)
    return sum(matrix.numel() - int(torch.count_nonzero(matrix)) for matrix in matrices)


def measure(folder: Path, layers: int, level: float) -> None:
    """Print one line per figure."""
    source, copied, compressed = folder / "source", folder / "copied", folder / "compressed"
    write_checkpoint(source, layers)
    size = sum(file.stat().st_size for file in source.iterdir())
    print(
        f"{layers} layers, {size:,} bytes in {len(list(source.glob('*.safetensors')))} shards; load {os.getloadavg()}"
    )
    copy = time_copy(source, copied)
    shutil.rmtree(copied)
    ours = compress(source, f"l1_unstructured:overall:{level}", compressed)
    weights = sum(math.prod(shape) for name, shape in shapes(layers).items() if "_proj." in name)
    zeros, wanted = count_zeros(compressed), round(level * weights)
    print(f"copying, seconds                 {copy:10.1f}   ({size / copy / 1e6:,.0f} MB/s)")
    print(f"compressing, seconds             {ours.seconds:10.1f}   ({ours.processor_seconds:.1f} of the processor)")
    print(f"ratio (goal: at most 4)          {ours.seconds / copy:10.2f}")
    print(f"peak resident, GB (goal: 1.5)    {ours.peak_bytes / 1e9:10.2f}")
    print(f"zeros on the disk                {zeros:,} of {weights:,} weights; wanted {wanted:,}")
    if zeros != wanted:
        sys.exit("the count of zeros is not exact")


def main() -> None:
    """Run the benchmark and remove its files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=32, help="blocks of the model (default 32: 7B)")
    parser.add_argument("--level", type=float, default=0.5, help="share of weights to zero (default 0.5)")
    parser.add_argument("--folder", type=Path, default=None, help="where to write (default: the temporary folder)")
    arguments = parser.parse_args()
    weights = sum(torch.Size(shape).numel() for shape in shapes(arguments.layers).values())
    needed = 2 * 2 * weights + 10**9
    parent = arguments.folder or Path(tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(parent).free < needed:
        sys.exit(f"{needed:,} bytes are needed in {parent}")
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        measure(Path(folder), arguments.layers, arguments.level)


if __name__ == "__main__":
    main()
