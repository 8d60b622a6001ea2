"""Times ``forgetmeter list scopes`` on a GGUF file, from its header and with the conversion that a run starts with.

    python benchmarks/open_gguf.py [--layers 18] [--vocabulary 32000]

The file is a random Llama in Q8_0, of 13.6 MB per layer. Each command has its own process and cache; the seconds
include the start of Python and the import of torch and transformers. Beside them: reading the file once, its
conversion, and the conversion's least work, which is to dequantize each tensor and to write it once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, dequantize, quantize
from tokenizers import pre_tokenizers

from forgetmeter.models.from_gguf.conversion import converted
from forgetmeter.models.location import locate
from forgetmeter.specs.model_reference import ModelReference

WIDTH, INNER, HEADS = 1024, 2816, 16
SHAPES = {
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (WIDTH, WIDTH),
    "attn_v": (WIDTH, WIDTH),
    "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (INNER, WIDTH),
    "ffn_up": (INNER, WIDTH),
    "ffn_down": (WIDTH, INNER),
}
COMMANDS = {
    "list scopes": "from forgetmeter.cli.main import main; main()",
    "load": "import sys, forgetmeter; forgetmeter.load(sys.argv[-1])",
}


def write(path: Path, *, layers: int, vocabulary: int) -> None:
    """Write the model."""
    random = np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [(left, right) for left in letters for right in letters][: vocabulary - len(letters)]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*letters, *(left + right for left, right in merges)])
    writer.add_token_merges([f"{left} {right}" for left, right in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    matrices = {"token_embd": (vocabulary, WIDTH)}
    for layer in range(layers):
        matrices |= {f"blk.{layer}.{name}": shape for name, shape in SHAPES.items()}
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    kind = GGMLQuantizationType.Q8_0
    for name, shape in matrices.items():
        values = random.standard_normal(shape, dtype=np.float32) * 0.02
        writer.add_tensor(f"{name}.weight", quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def seconds(code: str, path: Path, cache: Path) -> float:
    """Return the seconds that a command takes."""
    arguments = ["list", "scopes", "--model", str(path)]
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "FORGETMETER_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - started


def timed(work: Callable[[], object]) -> float:
    """Return the median seconds of three rounds."""
    rounds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        rounds.append(time.perf_counter() - started)
    return statistics.median(rounds)


def convert(path: Path, cache: Path) -> None:
    """Convert the file anew."""
    shutil.rmtree(cache, ignore_errors=True)
    os.environ["FORGETMETER_CACHE"] = str(cache)
    converted(locate(ModelReference("gguf", str(path))))


def least_work(path: Path, target: Path) -> None:
    """Dequantize each tensor with gguf, and write it."""
    with target.open("wb") as stream:
        for tensor in GGUFReader(path).tensors:
            np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type)).tofile(stream)


def main() -> None:
    """Write the file and time the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=18)
    parser.add_argument("--vocabulary", type=int, default=32_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write(path, layers=given.layers, vocabulary=given.vocabulary)
        print(f"{path.stat().st_size / 1e6:.0f} MB")
        for name, code in COMMANDS.items():
            cache = Path(folder) / name.replace(" ", "-")
            for turn in ("first", "again"):
                print(f"{name}, {turn}: {seconds(code, path, cache):.1f} s")
        once = timed(path.read_bytes)
        print(f"reading the file once: {once:.2f} s")
        for name, work in (
            ("conversion", partial(convert, path, Path(folder) / "converted")),
            ("dequantizing and writing alone", partial(least_work, path, Path(folder) / "written")),
        ):
            took = timed(work)
            print(f"{name}: {took:.1f} s, {took / once:.0f} times reading")


if __name__ == "__main__":
    main()
