"""References to models, as users write them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forgetmeter.errors import UserError
from forgetmeter.specs.suggestion import refuse_type, unknown

ModelSource = Literal["hub", "folder", "gguf", "package", "standard", "answers", "engine"]
Standard = Literal["encoder", "encoder-decoder", "decoder"]
STANDARDS: tuple[Standard, ...] = ("encoder", "encoder-decoder", "decoder")
"""The small reference models that ship with the package, one per family."""

FORMS = "org/name[@revision], ./folder, ./file.gguf, package:MODULE, or standard:FAMILY"

_HUB = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?$")
_ENGINE = re.compile(r"^[A-Za-z_][\w.-]*(/[\w.-]+)?$")
_ARGUMENT = re.compile(r"^[A-Za-z_]\w*$")
_MODULE = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")
_PREFIXED = ("package", "standard", "answers", "engine")
ENGINE_FORM = "engine:NAME,key=value,…, such as engine:lm_eval/local-completions,base_url=URL,model=NAME"


@dataclass(frozen=True)
class ModelReference:
    """A model's source and location.

    Attributes:
        source: The Hub, a folder, a GGUF file, a GGUF file inside an installed Python package, a shipped standard,
            imported answers without a model, or another runtime that answers.
        place: Hub id, path, module name, the standard's family, the name that imported answers were given, or the name
            of an engine with its arguments.
        revision: Hub revision, if given.
    """

    source: ModelSource
    place: str
    revision: str | None = None

    def __str__(self) -> str:
        if self.source in _PREFIXED:
            return f"{self.source}:{self.place}"
        return self.place + (f"@{self.revision}" if self.revision else "")


def parse_model_reference(text: str | Path) -> ModelReference:
    """Read a model reference, without checking that the model exists.

    Raises:
        UserError: The text is not a valid model reference.
    """
    refuse_type("model", text, str, Path)
    text = (str(text) if text.is_absolute() else f"./{text}") if isinstance(text, Path) else text.strip()
    kind, colon, rest = text.partition(":")
    if colon and kind in _PREFIXED:
        return _parse_prefixed(kind, rest, text)
    if text.endswith(".gguf"):
        return ModelReference("gguf", text)
    if text.startswith(("./", "../", "/", "~")) or text in (".", ".."):
        return ModelReference("folder", text)
    if _HUB.match(text):
        place, _, revision = text.partition("@")
        return ModelReference("hub", place, revision or None)
    raise UserError(f"'{text}' is not a valid model; write {existing_path(text) or FORMS}")


def _parse_prefixed(kind: str, rest: str, text: str) -> ModelReference:
    if kind == "package":
        if not _MODULE.match(rest):
            raise UserError(f"model '{text}': '{rest}' is not a valid Python module name; write package:MODULE")
        return ModelReference("package", rest)
    if kind == "standard":
        if rest not in STANDARDS:
            raise UserError(f"model '{text}': {unknown('standard', rest, STANDARDS)}")
        return ModelReference("standard", rest)
    if kind == "answers":
        return answers_reference(rest)
    name, *pairs = rest.split(",")
    if not all("=" in pair for pair in pairs):
        raise UserError(f"model '{text}' is not a valid engine; write {ENGINE_FORM}")
    keys = [pair.partition("=")[0].strip() for pair in pairs]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UserError(f"model '{text}': {twice} is given twice")
    return engine_reference(name, dict(zip(keys, (pair.partition("=")[2] for pair in pairs), strict=True)))


def answers_reference(name: str) -> ModelReference:
    """Return the reference of a model that is known only by its answers; white space in its name is normalized.

    Raises:
        UserError: The name is blank.
    """
    name = " ".join(name.split())
    if not name:
        raise UserError("imported answers need a name; write answers:NAME")
    return ModelReference("answers", name)


def engine_reference(name: str, arguments: Mapping[str, object]) -> ModelReference:
    """Return the reference of an engine.

    Args:
        name: ``lm_eval/NAME`` for a model class of lm-evaluation-harness, or ``llama_cpp``.
        arguments: Arguments to start it with.

    Raises:
        UserError: The name is blank, or an argument cannot be written in one line.
    """
    texts = {str(key).strip(): _argument_text(value) for key, value in arguments.items()}
    for key, value in texts.items():
        if not _ARGUMENT.match(key) or not value or re.search(r"[,\x00-\x1f]", value):
            raise UserError(
                f"engine '{name.strip()}': {key}={value} is not a valid argument; a name and a value are needed, and "
                "the value must not contain commas or line breaks"
            )
    if not _ENGINE.match(name.strip()):
        raise UserError(f"'{name}' is not a valid engine; write {ENGINE_FORM}")
    return ModelReference("engine", ",".join((name.strip(), *(f"{key}={texts[key]}" for key in sorted(texts)))))


def _argument_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def engine_of(reference: ModelReference) -> tuple[str, dict[str, str]]:
    """Return the name and the arguments of a reference to an engine."""
    name, *pairs = reference.place.split(",")
    return name, {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


def existing_path(text: str) -> str | None:
    """Return advice for a reference that names a file or folder on this machine without saying so, or ``None``."""
    path = Path(text)
    # A recipe may be longer than any path, of which Path.exists makes an error.
    if not text or not os.path.exists(path):  # noqa: PTH110
        return None
    return f"{shlex.quote(f'./{path}')}, if you mean the {'folder' if path.is_dir() else 'file'} of that name"
