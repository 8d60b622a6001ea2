"""GPTQ checkpoints are read as exactly the plain weights that they stand for.

The checkpoints are packed by ``packed_checkpoints`` from the definition of AutoGPTQ's layout, not by the package.

Covers ``models.unpacking.conversion``, ``models.unpacking.layout``, ``models.unpacking.layouts``,
``models.unpacking.plain_tensor``, ``models.files.cached_folder`` and ``models.files.file_hash``.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models.unpacking.packed_checkpoints import assert_same, changed, gptq_packer, packed_checkpoint, wide_llama
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.cli.scope_table import print_scopes_of
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.files import cached_folder
from forgetmeter.models.loading import load
from forgetmeter.models.unpacking import conversion
from forgetmeter.results.results import open_run
from forgetmeter.study.running import check_study, reader, run

PRUNE = "l1_unstructured:overall:0.5"
Q_PROJ = "model.layers.0.self_attn.q_proj"


def gptq(bits: int = 4, **settings: Any) -> dict[str, Any]:
    return {"quant_method": "gptq", "bits": bits, "group_size": 32, "desc_act": False, "sym": False} | settings


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("form", ["gptq", "gptq_v2"])
@pytest.mark.parametrize("act_order", [False, True])
def test_bits_orders_and_zero_points(bits: int, form: str, act_order: bool, tmp_path: Path) -> None:
    packer = gptq_packer(bits, zero_offset=1 if form == "gptq" else 0, act_order=act_order)
    method = gptq(bits, checkpoint_format=form, desc_act=act_order)
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, packer, method))


@pytest.mark.parametrize(
    "options",
    [
        {"group_size": -1},
        {"group_size": 64},
        {"symmetric": True},
        {"with_g_idx": False},
        {"with_g_idx": False, "group_size": -1},
        {"scales_in": torch.bfloat16},
        {"scales_in": torch.float32},
    ],
)
def test_groups_symmetry_and_dtypes(options: dict[str, Any], tmp_path: Path) -> None:
    """A group of 64 does not divide the 96 inputs of the feed-forward layers, whose last group is shorter."""
    method = gptq(group_size=options.get("group_size", 32), sym=options.get("symmetric", False))
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, gptq_packer(**options), method))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_zero_points_of_0_as_gptqmodel_stores_them(bits: int, tmp_path: Path) -> None:
    method = gptq(bits, meta={"quantizer": ["gptqmodel:5.6.0"]})
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, gptq_packer(bits, is_borrowed=True), method))


@pytest.mark.parametrize(
    ("form", "zero_offset"),
    [("auto_round:auto_gptq", 1), ("auto_gptq", 1), ("auto_round", 0), ("auto_round:gptqmodel", 0)],
)
def test_auto_rounds_names_of_the_layout(form: str, zero_offset: int, tmp_path: Path) -> None:
    method = {"quant_method": "auto-round", "bits": 3, "group_size": 32, "sym": False, "packing_format": form}
    packer = gptq_packer(3, zero_offset=zero_offset, with_g_idx=False)
    assert_same(tmp_path, packed_checkpoint(wide_llama(), tmp_path, packer, method))


def test_a_quantized_head_and_layers_that_are_not(tmp_path: Path) -> None:
    model = packed_checkpoint(
        wide_llama(), tmp_path, gptq_packer(), gptq(lm_head=True), is_packed=lambda name: "v_proj" not in name
    )
    assert_same(tmp_path, model)


def test_a_tied_head(tmp_path: Path) -> None:
    assert_same(tmp_path, packed_checkpoint(wide_llama(tied=True), tmp_path, gptq_packer(), gptq()))


def test_a_quantized_head_of_a_model_that_says_it_is_tied(tmp_path: Path) -> None:
    """GPTQModel quantizes the head by itself, and leaves the embedding, which is no longer the same."""
    model = wide_llama(tied=True)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model = packed_checkpoint(model, tmp_path, gptq_packer(), gptq(lm_head=True), is_packed=lambda _: True)
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"]
    assert not torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    assert_same(tmp_path, model)


def test_layers_with_their_inputs_first(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=288, n_positions=64, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1)
    model = GPT2LMHeadModel(config).eval()
    assert_same(tmp_path, packed_checkpoint(model, tmp_path, gptq_packer(), gptq()))


def test_biases(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = wide_llama().config.to_dict()
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    model = Qwen2ForCausalLM(Qwen2Config(**{key: shape[key] for key in sizes}, num_key_value_heads=2)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    assert_same(tmp_path, packed_checkpoint(model, tmp_path, gptq_packer(), gptq()))


def test_layers_of_different_bits(tmp_path: Path) -> None:
    """The shapes of each layer's tensors give its bits and groups, as GPTQModel's ``dynamic`` does."""
    model = wide_llama()
    packed_checkpoint(model, tmp_path, gptq_packer(8, group_size=16), gptq(), is_packed=lambda name: "v_proj" in name)
    eight = {name: each for name, each in load_file(tmp_path / "model.safetensors").items() if "v_proj" in name}
    method = gptq(dynamic={r"+:.*\.v_proj.*": {"bits": 8, "group_size": 16}, "-:lm_head": {}})
    others = ("q_proj", "k_proj", "o_proj")
    packed_checkpoint(model, tmp_path, gptq_packer(), method, is_packed=lambda name: name.endswith(others))
    tensors = load_file(tmp_path / "model.safetensors")
    tensors = {name: each for name, each in tensors.items() if "v_proj" not in name} | eight
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert_same(tmp_path, model)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gptq") / "model"
    packed_checkpoint(wide_llama(), folder, gptq_packer(), gptq())
    return folder


def test_all_commands_take_it(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning and listing read headers alone."""
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    size = (checkpoint / "model.safetensors").stat().st_size
    dense = 4 * sum(parameter.numel() for parameter in wide_llama().parameters())
    asked = {"models": [str(checkpoint)], "recipes": ["baseline", PRUNE], "tasks": ["facts:templates=0"],
             "evaluation.limit": 1, "output": str(tmp_path / "run")}  # fmt: skip
    stream = io.StringIO()
    check_study(reader(asked))
    print_scopes_of(str(checkpoint), stream)
    assert "as stored (gptq, 4 bits, groups of 32)" in stream.getvalue()
    assert not (tmp_path / "cache" / "models").exists()
    run(asked)
    results = open_run(str(tmp_path / "run"))
    assert list(results.variants["dense_bytes"]) == [dense, dense]
    (source,) = json.loads((tmp_path / "run" / "study.json").read_text())["sources"].values()
    assert set(source.pop("bits")) == {"attention", "feed_forward", "embedding", "head", "other"}
    sizes = {"bytes": size, "dense_bytes": dense}
    assert source == {"format": "gptq, 4 bits, groups of 32", **sizes, "reading": "unpacked", "maker": ""}
    written = compress_checkpoint(checkpoint, PRUNE, tmp_path / "out")
    assert any("as stored (gptq, 4 bits, groups of 32)" in note for note in written.notes)
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())
    assert load(tmp_path / "out").model.dtype == torch.float32


MISFITS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "no zeros": (lambda each: each.pop(f"{Q_PROJ}.qzeros"), "lacks qzeros"),
    "no integers": (lambda each: each.pop(f"{Q_PROJ}.qweight"), "lacks qweight"),
    "fewer groups": (
        lambda each: each.update({f"{Q_PROJ}.scales": each[f"{Q_PROJ}.scales"][:1].clone()}),
        "has scales [1, 64] that do not match qweight",
    ),
    "fewer inputs": (
        lambda each: each.update({f"{Q_PROJ}.qweight": each[f"{Q_PROJ}.qweight"][:3].clone()}),
        "has g_idx of shape [64] for 24 input units",
    ),
    "other zeros": (
        lambda each: each.update({f"{Q_PROJ}.qzeros": each[f"{Q_PROJ}.qzeros"][:, :4].clone()}),
        "has qzeros of shape [2, 4] for 64 output units, which does not match 4 bits each",
    ),
    "float integers": (
        lambda each: each.update({f"{Q_PROJ}.qweight": each[f"{Q_PROJ}.qweight"].float()}),
        "has qweight of type F32",
    ),
    "plain weights, too": (
        lambda each: each.update({f"{Q_PROJ}.weight": torch.ones(64, 64)}),
        "is also stored as floating-point numbers",
    ),
}


@pytest.mark.parametrize("what", MISFITS)
def test_tensors_that_do_not_fit_are_refused_before_any_work(what: str, checkpoint: Path, tmp_path: Path) -> None:
    change, says = MISFITS[what]
    folder = changed(checkpoint, tmp_path / "model", change)
    with pytest.raises(UserError) as error:
        open_checkpoint(folder).check()
    assert f"{Q_PROJ} {says}" in str(error.value)
    assert "\n" not in str(error.value)


def test_unexpected_tensors_and_missing_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    more = changed(checkpoint, tmp_path / "more", lambda each: each.update({f"{Q_PROJ}.bias": torch.ones(64)}))
    with pytest.raises(UserError, match=rf"the checkpoint holds {Q_PROJ}\.bias, which the model"):
        open_checkpoint(more).check()
    parts = ("qweight", "qzeros", "scales", "g_idx")
    less = changed(checkpoint, tmp_path / "less", lambda each: [each.pop(f"{Q_PROJ}.{part}") for part in parts])
    with pytest.raises(UserError, match=rf"the checkpoint lacks 1 weight, such as {Q_PROJ}\.weight"):
        open_checkpoint(less).check()
    other = changed(checkpoint, tmp_path / "other", dict, bits=8)
    with pytest.raises(UserError, match="has qzeros of shape .* for .* output units, which does not match 8 bits each"):
        open_checkpoint(other).check()
    groups = changed(checkpoint, tmp_path / "groups", dict, group_size=128)
    with pytest.raises(UserError, match=r"has \d groups for \d+ input units, which does not match a group size of 128"):
        open_checkpoint(groups).check()


def test_values_that_are_not_possible_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    beyond = changed(checkpoint, tmp_path / "beyond", lambda each: each[f"{Q_PROJ}.g_idx"].fill_(2))
    with pytest.raises(UserError, match=f"{Q_PROJ} has a g_idx beyond its 2 groups"):
        load(beyond)
    first = changed(checkpoint, tmp_path / "first", lambda each: each[f"{Q_PROJ}.g_idx"].fill_(0))
    with pytest.raises(UserError, match=f"{Q_PROJ} has a g_idx whose 2 groups are not of one size"):
        load(first)
    zero = changed(checkpoint, tmp_path / "zero", lambda each: each[f"{Q_PROJ}.qzeros"].fill_(-1))
    with pytest.raises(UserError, match=f"{Q_PROJ} has a zero point of 0, which writers .* in different ways"):
        load(zero)


@pytest.mark.parametrize("zero_offset", [0, 1])
def test_zero_points_that_contradict_the_configuration_are_refused(zero_offset: int, tmp_path: Path) -> None:
    """Symmetric weights stored in one version of the format and read as the other would all be shifted."""
    packer = gptq_packer(symmetric=True, zero_offset=zero_offset)
    form = ("gptq", "gptq_v2")[zero_offset]
    packed_checkpoint(wide_llama(), tmp_path, packer, gptq(sym=True, checkpoint_format=form))
    with pytest.raises(UserError, match="has zero points other than 8, although its configuration says sym, so sym or"):
        load(tmp_path)


AUTO_ROUND = {"quant_method": "auto-round"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"checkpoint_format": "marlin"},
            "gptq in the layout 'marlin', which is not supported (supported: gptq, gptq_v2; try GPTQModel",
        ),
        ({"is_marlin_format": True}, "gptq in the layout 'marlin'"),
        ({"group_size": "32"}, "gptq with group_size '32', which cannot be read"),
        ({"checkpoint_format": ["gptq"]}, "gptq with checkpoint_format ['gptq'], which cannot be read"),
        ({"meta": "quantizer"}, "gptq with meta 'quantizer', which cannot be read"),
        ({"rotation": "hadamard"}, "gptq with rotation, which is not supported"),
        (AUTO_ROUND | {"packing_format": "auto_round:fp8_static"}, "auto-round in the layout 'fp8_static', which is"),
        (
            AUTO_ROUND | {"act_bits": 8},
            "auto-round with activations of 8 bits, which are not supported (the library AutoRound",
        ),
        (AUTO_ROUND | {"act_bits": "8"}, "auto-round with act_bits '8', which cannot be read"),
        (AUTO_ROUND | {"extra_config": {Q_PROJ: {"act_bits": 8}}}, "auto-round with activations of 8 bits, which are"),
        (AUTO_ROUND | {"extra_config": {Q_PROJ: {"act_bits": [8]}}}, "auto-round with activations of [8] bits, which"),
        (AUTO_ROUND | {"extra_config": [Q_PROJ]}, f"auto-round with extra_config ['{Q_PROJ}'], which cannot be read"),
    ],
)
def test_other_layouts_are_refused(settings: dict[str, Any], says: str, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        open_checkpoint(changed(checkpoint, tmp_path / "other", dict, **settings)).check()
    assert f"is quantized by {says}" in str(error.value)


def test_a_damaged_conversion_is_made_again(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    expected = {name: value.clone() for name, value in load(checkpoint).model.state_dict().items()}
    (file,) = (tmp_path / "cache" / "models").glob("*/*.safetensors")
    content = bytearray(file.read_bytes())
    content[-2] ^= 64
    file.write_bytes(content)
    found = load(checkpoint).model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert bytearray(file.read_bytes()) != content
    assert not list((tmp_path / "cache" / "models").glob(".tmp-*"))


def test_a_damaged_conversion_may_be_found_by_two_processes(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    load(checkpoint)

    def discarded_by_another(folder: Path) -> bool:
        shutil.rmtree(folder)
        return False

    monkeypatch.setattr(cached_folder, "_is_intact", discarded_by_another)
    load(checkpoint)
    assert not list((tmp_path / "cache" / "models").glob(".tmp-*"))


def test_a_checkpoint_is_unpacked_once(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(checkpoint)
    assert open_checkpoint(checkpoint).is_converted
    monkeypatch.setattr(conversion, "CheckpointWriter", None)
    load(checkpoint)
