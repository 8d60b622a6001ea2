"""Times ``forgetmeter list scopes`` on a GGUF file, from its header and with the conversion that a run starts with.

    python benchmarks/open_gguf.py [--layers 18] [--vocabulary 32000]

The file is a random Llama in Q8_0, of 13.6 MB per layer. Each command has its own process and cache; the seconds
include the start of Python and the import of torch and transformers.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quantize
from tokenizers import pre_tokenizers

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


if __name__ == "__main__":
    main()
