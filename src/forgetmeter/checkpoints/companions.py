"""Small files written next to a model's weights: JSON without references to code, and a model card."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from forgetmeter.checkpoints.written import Written
from forgetmeter.models.files.model_files import raw_config
from forgetmeter.models.files.small_files import PROCESSOR_FILES
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.version import __version__

_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*\n", re.DOTALL)
_KEPT = ("license", "license_name", "license_link", "language")


def remove_code_references(folder: Path) -> None:
    """Remove references to a repository's code, which is not copied, from a checkpoint's JSON files."""
    for name in ("config.json", "tokenizer_config.json", *PROCESSOR_FILES):
        stored = raw_config(folder, name)
        if (without := _without_code(stored)) != stored:
            (folder / name).write_text(json.dumps(without, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _without_code(value: Any) -> Any:  # noqa: ANN401 - of JSON
    if isinstance(value, dict):
        return {key: _without_code(each) for key, each in value.items() if key != "auto_map"}
    return [_without_code(each) for each in value] if isinstance(value, list) else value


def model_card(written: Written, source: Mapping[str, str], *, is_quantized: bool) -> str:
    """Return the README.md of a compressed checkpoint, with its source's ``source_facts``."""
    facts, model = dict(source), shown_model(written.model)
    reference = parse_model_reference(written.model)
    if reference.source == "hub":
        facts["base_model"] = reference.place
        if is_quantized:
            facts["base_model_relation"] = "quantized"
    front = "".join(f"{key}: {value}\n" for key, value in facts.items())
    lines = [
        f"---\n{front}tags: [forgetmeter, compressed]\n---\n",
        f"# {written.folder.name}\n",
        f"`{model}`, compressed by [forgetmeter](https://pypi.org/project/forgetmeter/) {__version__}:\n",
        f"    forgetmeter compress {shlex.join([model, written.recipe, '--out', written.folder.name])}"
        f"{''.join(f' {option}' for option in written.options)}\n",
        "## Sparsity and size\n",
        *_reached(written),
        *(f"{note}\n" for note in written.notes),
        "These numbers do not show what the model forgot: `forgetmeter run` measures it.\n",
    ]
    return "\n".join(lines)


def shown_model(model: str) -> str:
    """Return a model's reference without its parent folders, which are private."""
    return f"./{Path(model).name}" if parse_model_reference(model).source in ("folder", "gguf") else model


def _reached(written: Written) -> Iterator[str]:
    reached = written.reached
    yield "| role | weights | zeros | share |\n|:---|---:|---:|---:|"
    for role, count in reached.roles.items():
        yield f"| {role} | {count.weights:,} | {count.zeros:,} | {count.zeros / count.weights:.2%} |"
    yield (
        f"\nIn the recipe's scopes, {reached.selected_zeros:,} of {reached.selected_weights:,} weights are zero "
        f"({reached.sparsity:.2%}); {reached.removed_weights:,} were removed.\n"
    )
    yield "| bytes | |\n|:---|---:|"
    rows = {
        "weight files, before": written.bytes_before,
        f"weight files, after ({written.format})": written.bytes_after,
        "as plain tensors": reached.dense_bytes,
        "as bitmask and nonzero weights": reached.bitmask_bytes,
        "quantized matrices at their bit width": reached.quantized_bytes,
        "each matrix in its smallest format": reached.smallest_bytes,
    }
    for name, size in rows.items():
        yield f"| {name} | {size:,} |"
    yield ""


def source_facts(folder: Path) -> dict[str, str]:
    """Return the licence and language of a model card, verbatim."""
    try:
        found = _FRONT_MATTER.match((folder / "README.md").read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition(":") for line in (found[1].splitlines() if found else ()))
    return {key: value.strip() for key, _, value in pairs if key in _KEPT and value.strip()}
