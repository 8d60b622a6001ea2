"""Loading a model never runs its code, and only one module opens models.

Covers ``basics.own_code``.
"""

from __future__ import annotations

import ast
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from written_ggufs import write_llama_gguf

import forgetmeter
from forgetmeter.basics.own_code import REFUSED, guard_compressed_tensors, without_own_code
from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.cli.main import app
from forgetmeter.errors import UserError
from forgetmeter.models.loading import load
from forgetmeter.models.safe_loading.pretrained import load_config

SOURCE = Path(forgetmeter.__file__).parent
OPENS_MODELS = {"from_pretrained", "from_config", "from_json_file", "load_state_dict"}
RUNS_CODE = {"eval", "exec", "pickle", "marshal", "shelve", "joblib", "dill", "cloudpickle", "runpy"}
YES = "y\nyes\n1\n" * 40


def names_in(file: Path) -> set[str]:
    tree = ast.walk(ast.parse(file.read_text()))
    found: set[str] = set()
    for node in tree:
        if isinstance(node, ast.Attribute):
            # torch's model.eval() is harmless.
            found |= {node.attr} - {"eval"}
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {each.name.partition(".")[0] for each in node.names} | {getattr(node, "module", None) or ""}
    return found


def test_models_are_opened_in_one_place_and_nothing_is_unpickled_or_evaluated() -> None:
    files = [file for file in SOURCE.rglob("*.py") if file.name != "pretrained.py"]
    assert len(files) > 100
    assert [file for file in files if names_in(file) & OPENS_MODELS] == []
    everything = [*files, SOURCE / "models" / "safe_loading" / "pretrained.py"]
    assert [file for file in everything if names_in(file) & RUNS_CODE] == []
    for file in everything:
        text = file.read_text()
        assert "torch.load(" not in text
        assert "trust_remote_code=True" not in text
        assert "yaml.load(" not in text or "SafeLoader" in text


@pytest.fixture
def proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears as soon as a model's own code runs; every prompt is answered with yes."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(YES))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "the-code-ran"


def with_own_code(folder: Path, target: Path, proof: Path, *, model_type: str, tokenizer_class: str | None) -> Path:
    """Copy a model and add code for its configuration, model and tokenizer that writes the proof."""
    shutil.copytree(folder, target)
    (target / "strange.py").write_text(
        f"open({str(proof)!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
        "class StrangeConfig(LlamaConfig):\n    model_type = 'strange'\n"
        "class StrangeModel(LlamaForCausalLM):\n    config_class = StrangeConfig\n"
        "class StrangeTokenizer(PreTrainedTokenizerFast):\n    pass\n"
    )
    config = json.loads((target / "config.json").read_text())
    classes = {
        "AutoConfig": "strange.StrangeConfig",
        "AutoModelForCausalLM": "strange.StrangeModel",
        "AutoModelForMaskedLM": "strange.StrangeModel",
        "AutoTokenizer": ["strange.StrangeTokenizer", "strange.StrangeTokenizer"],
    }
    (target / "config.json").write_text(json.dumps(config | {"model_type": model_type, "auto_map": classes}))
    tokenizer = json.loads((target / "tokenizer_config.json").read_text())
    tokenizer |= {"auto_map": {"AutoTokenizer": classes["AutoTokenizer"]}}
    if tokenizer_class is not None:
        tokenizer["tokenizer_class"] = tokenizer_class
    (target / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    custom = target / "custom_generate"
    custom.mkdir()
    (custom / "generate.py").write_text(f"open({str(proof)!r}, 'w').close()\ndef generate(*a, **k): pass\n")
    return target


def test_the_code_of_these_folders_would_run_if_trusted(llama_folder: Path, tmp_path: Path, proof: Path) -> None:
    """Otherwise the tests below could not fail."""
    from transformers import AutoConfig, AutoTokenizer

    for number, opens in enumerate((AutoConfig, AutoTokenizer)):
        strange = with_own_code(
            llama_folder, tmp_path / str(number), proof, model_type="strange", tokenizer_class="StrangeTokenizer"
        )
        opens.from_pretrained(strange, trust_remote_code=True)
        assert proof.exists()
        proof.unlink()
        shutil.rmtree(tmp_path / "modules", ignore_errors=True)


COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "scopes": lambda model, _: ["list", "scopes", "--model", model],
    "relations": lambda model, _: ["list", "relations", "facts", "--model", model],
    "plan": lambda model, out: ["run", "--model", model, "--tasks", "facts", "--out", out, "--limit", "1", "--dry-run"],
    "run": lambda model, out: ["run", "--model", model, "--tasks", "facts", "--out", out, "--limit", "1"],
    "compress": lambda model, out: ["compress", model, "l1_unstructured:overall:0.5", "--out", out],
    "advise": lambda model, out: ["advise", model, "--tasks", "facts", "--max-bytes", "0.6", "--out", out],
}
CALLS: dict[str, Callable[[str, str], object]] = {
    "load": lambda model, _: forgetmeter.load(model),
    "compress_checkpoint": lambda model, out: forgetmeter.compress_checkpoint(
        model, "l1_unstructured:overall:0.5", out
    ),
    "api run": lambda model, out: forgetmeter.run(
        {"models": [model], "recipes": ["baseline"], "tasks": ["facts"], "output": out}
    ),
}


@pytest.mark.parametrize("what", [*COMMANDS, *CALLS])
def test_a_model_that_needs_its_own_code_is_refused_in_one_line(
    what: str, llama_folder: Path, tmp_path: Path, proof: Path
) -> None:
    strange = with_own_code(llama_folder, tmp_path / "strange", proof, model_type="strange", tokenizer_class=None)
    out = tmp_path / "out"
    with pytest.raises(UserError) as refused:
        if what in COMMANDS:
            app(COMMANDS[what](str(strange), str(out)), standalone_mode=False)
        else:
            CALLS[what](str(strange), str(out))
    assert "needs custom code (auto_map in its configuration or tokenizer), which is never run" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not proof.exists()
    assert not out.exists()


def test_a_tokenizer_that_needs_its_own_code_is_refused(llama_folder: Path, tmp_path: Path, proof: Path) -> None:
    strange = with_own_code(
        llama_folder, tmp_path / "strange", proof, model_type="llama", tokenizer_class="StrangeTokenizer"
    )
    with pytest.raises(UserError, match="needs custom code .auto_map in its configuration or tokenizer"):
        load(str(strange))
    assert not proof.exists()


def evil(folder: Path, proof: Path) -> dict[str, Any]:
    """Return settings of a part of a model whose class is code in the folder."""
    (folder / "evil.py").write_text(f"open({str(proof)!r}, 'w').close()\n")
    classes = ("AutoModel", "AutoModelForCausalLM", "AutoTokenizer", "AutoConfig")
    return {"auto_map": dict.fromkeys(classes, "evil.Evil"), "name_or_path": str(folder)}


def llava(folder: Path, proof: Path) -> None:
    """A wrapper whose vision tower is code: transformers builds it without asking for ``trust_remote_code``."""
    text = json.loads((folder / "config.json").read_text())
    vision = {"model_type": "siglip_text_model", **evil(folder, proof)}
    config = {"model_type": "llava", "text_config": text, "vision_config": vision}
    (folder / "config.json").write_text(json.dumps(config))


def encoder_decoder(folder: Path, proof: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    encoder = {"model_type": "blip_text_model", **sizes, **evil(folder, proof)}
    decoder = {"model_type": "bert", **sizes, "is_decoder": True, "add_cross_attention": True}
    config = {"model_type": "encoder-decoder", "is_encoder_decoder": True, "encoder": encoder, "decoder": decoder}
    (folder / "config.json").write_text(json.dumps(config))


def rag(folder: Path, proof: Path) -> None:
    """A tokenizer that opens others in subfolders."""
    config = json.loads((folder / "config.json").read_text())
    part = {"model_type": "siglip_vision_model"}
    (folder / "config.json").write_text(json.dumps({**config, "question_encoder": part, "generator": part}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RagTokenizer"}))
    for name in ("question_encoder_tokenizer", "generator_tokenizer"):
        (folder / name).mkdir()
        settings = {"tokenizer_class": "Strange", **evil(folder / name, proof)}
        (folder / name / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("hide", "commands"), [(llava, ("scopes", "plan")), (encoder_decoder, ("scopes", "plan")), (rag, ("plan",))]
)
def test_code_of_a_part_is_neither_asked_for_nor_run(
    hide: Callable[[Path, Path], None],
    commands: tuple[str, ...],
    llama_folder: Path,
    tmp_path: Path,
    proof: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(llama_folder, folder)
    hide(folder, proof)
    for name in commands:
        with pytest.raises(UserError, match="needs custom code"):
            app(COMMANDS[name](str(folder), str(tmp_path / "out")), standalone_mode=False)
    assert not proof.exists()
    assert "[y/N]" not in "".join(capfd.readouterr())


@pytest.fixture
def with_own_format(llama_folder: Path, tmp_path: Path, proof: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A quantized model whose format is a file of its own, which the compressed-tensors library would run."""
    pytest.importorskip("compressed_tensors")
    folder = tmp_path / "format"
    compress_checkpoint(llama_folder, "round_to_nearest:overall:4", folder, format="compressed-tensors")
    (folder / "evil.py").write_text(f"open({str(proof)!r}, 'w').close()\nx = 1\n")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] |= {"format": "./evil.py:x", "dequantize": True}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("what", [*COMMANDS, *CALLS])
def test_a_format_that_is_a_file_is_refused_in_one_line(
    what: str, with_own_format: Path, tmp_path: Path, proof: Path
) -> None:
    model, out = str(with_own_format), str(tmp_path / "out")
    with pytest.raises(UserError) as refused:
        if what in COMMANDS:
            app(COMMANDS[what](model, out), standalone_mode=False)
        else:
            CALLS[what](model, out)
    said = str(refused.value)
    assert "the quantization in its config.json has the format './evil.py:x'" in said or "is already quantized" in said
    assert "\n" not in str(refused.value)
    assert not proof.exists()


@pytest.mark.usefixtures("with_own_format")
def test_the_file_of_a_format_is_not_run_where_no_one_has_looked(proof: Path) -> None:
    """As for the model of an engine, which another library opens."""
    from compressed_tensors.compressors import BaseCompressor

    guard_compressed_tensors()
    with without_own_code() as refused, pytest.raises(ImportError, match=REFUSED):
        BaseCompressor.get_value_from_registry("./evil.py:x")
    assert (refused, proof.exists()) == (["./evil.py"], False)
    BaseCompressor.get_value_from_registry("./evil.py:x")
    assert proof.exists()


def test_elsewhere_transformers_asks_and_runs_code_as_ever(llama_folder: Path, tmp_path: Path, proof: Path) -> None:
    from transformers import AutoTokenizer

    strange = with_own_code(
        llama_folder, tmp_path / "strange", proof, model_type="strange", tokenizer_class="StrangeTokenizer"
    )
    with pytest.raises(UserError):
        load(str(strange))
    AutoTokenizer.from_pretrained(strange)
    assert proof.exists(), "the answer was yes"


def test_a_compressed_copy_names_no_code(llama_folder: Path, tmp_path: Path, proof: Path) -> None:
    known = with_own_code(llama_folder, tmp_path / "known", proof, model_type="llama", tokenizer_class=None)
    forgetmeter.compress_checkpoint(str(known), "l1_unstructured:overall:0.5", str(tmp_path / "out"))
    assert [file for file in (tmp_path / "out").glob("*.json") if "auto_map" in file.read_text()] == []
    assert not proof.exists()


def test_transformers_own_classes_replace_a_models_code(llama_folder: Path, tmp_path: Path, proof: Path) -> None:
    known = with_own_code(llama_folder, tmp_path / "known", proof, model_type="llama", tokenizer_class=None)
    assert type(load(str(known)).model).__module__ == "transformers.models.llama.modeling_llama"
    assert not proof.exists()


def test_a_gguf_file_is_read_alone(tmp_path: Path, proof: Path, llama_folder: Path) -> None:
    strange = with_own_code(
        llama_folder, tmp_path / "strange", proof, model_type="strange", tokenizer_class="StrangeTokenizer"
    )
    write_llama_gguf(strange / "model.gguf")
    loaded = load(str(strange / "model.gguf"))
    assert loaded.model.config.model_type == "llama"
    assert not proof.exists()


@pytest.mark.parametrize("asked", ["kernels-community/flash-attn", "somebody/kernel:module", "flash_attention_2"])
def test_kernels_that_a_configuration_asks_for_are_not_fetched(llama_folder: Path, tmp_path: Path, asked: str) -> None:
    folder = tmp_path / "kernel"
    shutil.copytree(llama_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"attn_implementation": asked, "experts_implementation": asked})
    )
    assert load_config(folder, "kernel")._attn_implementation is None
    assert load(str(folder)).model.config._attn_implementation == "sdpa"


def test_a_file_of_weights_that_a_configuration_names_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(llama_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "pickled.bin"}))
    with pytest.raises(UserError, match="names a custom weight file"):
        load(str(folder))


def test_a_package_that_holds_a_model_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "outer_package" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner.parent, inner):
        (folder / "__init__.py").write_text("raise RuntimeError('this code must not run')\n")
    write_llama_gguf(inner / "model.gguf")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("package:outer_package.inner").family == "decoder"
