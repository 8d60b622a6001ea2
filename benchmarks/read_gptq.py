"""Opens checkpoints of `forgetmeter compress --format gptq` with GPTQModel and transformers, beside plain ones.

In an environment of its own, as they need other packages (`pip install gptqmodel==7.6.0 optimum accelerate`):

    forgetmeter compress MODEL RECIPE --format gptq --out PACKED
    forgetmeter compress MODEL RECIPE --out PLAIN
    python benchmarks/read_gptq.py PACKED PLAIN

Prints the largest difference of the logits of random tokens, in standard deviations of the logits. GPTQModel computes
in float16, and some of its kernels for 4 bits are coarser.
"""

from __future__ import annotations

import sys

import torch
from gptqmodel import BACKEND, GPTQModel
from transformers import AutoModelForCausalLM

packed, plain = sys.argv[1:]
expected = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32).eval()
ids = torch.randint(3, expected.config.vocab_size, (2, 50), generator=torch.Generator().manual_seed(0))
readers = {
    "GPTQModel": GPTQModel.load(packed, backend=BACKEND.TORCH, device="cpu", dtype=torch.float16),
    "transformers": AutoModelForCausalLM.from_pretrained(packed, dtype=torch.float32, device_map="cpu").eval(),
}
with torch.inference_mode():
    logits = expected(ids).logits
    for reader, model in readers.items():
        off = (model(ids).logits.float() - logits).abs().max() / logits.std()
        kinds = sorted({type(module).__name__ for module in model.modules() if hasattr(module, "qweight")})
        print(f"{reader} ({', '.join(kinds)}): {off:.4f}")
