"""Makes a tiny checkpoint in each format, reads it, and writes docs/formats.md.

python tools/describe_formats.py
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "formats.md"
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import torch
from models.formats import (
    compressed_tensors_specimens,
    gguf_specimens,
    packed_specimens,
    refused_specimens,
    torchao_specimens,
)
from models.formats.specimen import Specimen, checkpoint_in
from transformers import PreTrainedModel

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load

READ: tuple[Specimen, ...] = (
    *packed_specimens.SPECIMENS,
    *compressed_tensors_specimens.SPECIMENS,
    *torchao_specimens.SPECIMENS,
    *gguf_specimens.SPECIMENS,
)
REFUSED = refused_specimens.SPECIMENS
BREAK = "<br>"
EQUAL = 1e-5
BOUNDS = (1e-4, 1e-3, 0.01, 0.1, 1.0)
_METHODS = re.compile(r"\(transformers reads [^)]*\)")
_INTRODUCTION = """\
# Formats

Which checkpoints of other tools can be compared, and how they are read. `python tools/describe_formats.py` writes a
tiny random model in each format, with the library that owns the format (compressed-tensors, torchao, gguf) or else in
the published layout, and reads it. The tests check every row.

- **Read as**: *unpacked* means that the stored weights are converted to floating-point numbers and the model is run
  with those, so recipes can be applied to them. *Kernel* means that the library that owns the format runs the model.
  *Plain* weights are used as stored.
- **Needs**: the package to install for this format, beyond forgetmeter's own requirements.
- **Logits**: the largest difference between the model's logits and those of the same weights in plain float32. *Equal*
  means at most 0.00001. Formats whose kernels also round activations differ; so does compressed-tensors' NVFP4, whose
  weights the library unpacks to bfloat16.
- **Tried on**: the devices on which a test reads this format.
- **Variant**: with GPTQ, *v1* stores each zero point minus one, *v2* as it is; *act-order*: columns were quantized in
  the order of the size of their activations.

"""
_REFUSED = """\
## Refused

These are refused before any work starts, with a one-line error and exit code 2, because forgetmeter cannot read the
format, or needs a package or device that was missing when this table was generated:

"""


def reading(specimen: Specimen, folder: Path) -> tuple[str, ...]:
    """Return the cells of a format that is read; its checkpoint is written into a folder."""
    plain = _written(specimen, folder)
    if plain is None:
        raise ValueError(f"{specimen} has no plain weights to compare with")
    checkpoint = open_checkpoint(checkpoint_in(folder))
    checkpoint.check()
    difference = _difference(load(checkpoint_in(folder)).model, plain)
    devices = "CPU, CUDA" if specimen.on_cuda else "CPU"
    package = f"`{specimen.package}`" if specimen.package else "—"
    return (*_named(specimen), checkpoint.reading, package, difference, devices)


def refusal(specimen: Specimen, folder: Path) -> tuple[str, ...]:
    """Return the cells of a format that is refused.

    Raises:
        ValueError: It is not refused.
    """
    _written(specimen, folder)
    path = checkpoint_in(folder)
    try:
        open_checkpoint(path).check()
    except UserError as error:
        line = _METHODS.sub("(transformers reads …)", str(error).replace(str(path), "./it"))
        return (*_named(specimen), line.replace("|", "/"))
    raise ValueError(f"{specimen} is not refused")


def _written(specimen: Specimen, folder: Path) -> PreTrainedModel | None:
    with quiet():
        return specimen.write(folder)


def _named(specimen: Specimen) -> tuple[str, str, str]:
    return specimen.format, specimen.variant or "—", specimen.makers


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _difference(found: PreTrainedModel, plain: PreTrainedModel) -> str:
    tokens = torch.randint(2, 250, (2, 20), generator=torch.Generator().manual_seed(0))
    difference = float((found(tokens).logits - plain(tokens).logits).abs().max())
    if difference <= EQUAL:
        return "equal"
    return next((f"< {bound:g}" for bound in BOUNDS if difference < bound), "different")


def folded(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the rows with the variants of a format that differ in nothing else in one."""
    variants: dict[tuple[str, ...], list[str]] = {}
    for form, variant, *others in rows:
        variants.setdefault((form, *others), []).append(variant)
    return [(form, BREAK.join(names), *others) for (form, *others), names in variants.items()]


def line(cells: Iterable[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def page(read: Iterable[tuple[str, ...]], refused: Iterable[tuple[str, ...]]) -> str:
    """Return the page."""
    columns = ("format", "variant", "made by", "read as", "needs", "logits", "tried on")
    others = ("format", "variant", "made by", "message")
    tables = [[line(names), line(["---"] * len(names))] for names in (columns, others)]
    rows = "\n".join([*tables[0], *map(line, folded(read))])
    return f"{_INTRODUCTION}{rows}\n\n{_REFUSED}" + "\n".join([*tables[1], *map(line, folded(refused))]) + "\n"


def is_installed(package: str) -> bool:
    """Whether a package is installed; true for none."""
    try:
        return not package or bool(version(package))
    except PackageNotFoundError:
        return False


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as made:
        os.environ["FORGETMETER_CACHE"] = f"{made}/cache"
        read = [reading(each, Path(made) / f"read-{number}") for number, each in enumerate(READ)]
        refused = [refusal(each, Path(made) / f"refused-{number}") for number, each in enumerate(REFUSED)]
    PAGE.write_text(page(read, refused), encoding="utf-8")


if __name__ == "__main__":
    main()
