"""References to models, as users write them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forgetmeter.errors import UserError
from forgetmeter.specs.suggestion import refuse_type, unknown

ModelSource = Literal["hub", "folder", "gguf", "package", "standard", "answers"]
Standard = Literal["encoder", "encoder-decoder", "decoder"]
STANDARDS: tuple[Standard, ...] = ("encoder", "encoder-decoder", "decoder")
"""The small reference models that ship with the package, one per family."""

FORMS = "org/name[@revision], ./folder, ./file.gguf, package:MODULE, or standard:FAMILY"

_HUB = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?$")
_MODULE = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")
_PREFIXED = ("package", "standard", "answers")


@dataclass(frozen=True)
class ModelReference:
    """A model's source and location.

    Attributes:
        source: The Hub, a folder, a GGUF file, a GGUF file inside an installed Python package, a shipped standard, or
            imported answers without a model.
        place: Hub id, path, module name, the standard's family, or the name that imported answers were given.
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
    if colon and kind == "package":
        if not _MODULE.match(rest):
            raise UserError(f"model '{text}': '{rest}' is not a valid Python module name; write package:MODULE")
        return ModelReference("package", rest)
    if colon and kind == "standard":
        if rest not in STANDARDS:
            raise UserError(f"model '{text}': {unknown('standard', rest, STANDARDS)}")
        return ModelReference("standard", rest)
    if colon and kind == "answers":
        return answers_reference(rest)
    if text.endswith(".gguf"):
        return ModelReference("gguf", text)
    if text.startswith(("./", "../", "/", "~")) or text in (".", ".."):
        return ModelReference("folder", text)
    if _HUB.match(text):
        place, _, revision = text.partition("@")
        return ModelReference("hub", place, revision or None)
    raise UserError(f"'{text}' is not a valid model; write {existing_path(text) or FORMS}")


def answers_reference(name: str) -> ModelReference:
    """Return the reference of a model that is known only by its answers; white space in its name is normalized.

    Raises:
        UserError: The name is blank.
    """
    name = " ".join(name.split())
    if not name:
        raise UserError("imported answers need a name; write answers:NAME")
    return ModelReference("answers", name)


def existing_path(text: str) -> str | None:
    """Return advice for a reference that names a file or folder on this machine without saying so, or ``None``."""
    path = Path(text)
    if not text or not path.exists():
        return None
    return f"{shlex.quote(f'./{path}')}, if you mean the {'folder' if path.is_dir() else 'file'} of that name"
