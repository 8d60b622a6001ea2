"""What a GGUF file's header says of its types and maker, kept with its configuration."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from gguf import GGUFReader, Keys, LlamaFileType
from transformers import PreTrainedModel

from forgetmeter.models.files.model_files import raw_config
from forgetmeter.models.on_disk.stored_bits import bits_by_role

_FILE = "gguf.json"
_GUESSED = "GUESSED"
_HEAD = "lm_head.weight"


def write_record(reader: GGUFReader, model: PreTrainedModel, places: Mapping[str, str], folder: Path) -> None:
    """Write the record into the folder of the file's configuration.

    Args:
        reader: The file.
        model: Its model, on the ``meta`` device.
        places: The names in the model of its tensors, by their names in GGUF files.
        folder: The folder.
    """
    experts = next((name for name, _ in model.named_parameters() if "experts" in name), "")
    sizes = [
        # transformers merges experts and reads some heads by rules of its own.
        (places.get(each.name, experts if "_exps." in each.name else _HEAD), int(each.n_bytes))
        for each in reader.tensors
    ]
    maker = reader.fields.get(Keys.General.QUANTIZED_BY)
    record = {
        "format": f"GGUF, {_file_type(reader)}",
        "maker": "" if maker is None else str(maker.contents()),
        "bits": bits_by_role(sizes, model),
    }
    (folder / _FILE).write_text(json.dumps(record), encoding="utf-8")


def read_record(folder: Path) -> tuple[str, str, dict[str, float]]:
    """Return the file's format, maker (which may be empty), and bits per weight by role."""
    record = raw_config(folder, _FILE)
    return str(record.get("format", "GGUF")), str(record.get("maker", "")), dict(record.get("bits", {}))


def _file_type(reader: GGUFReader) -> str:
    """Return the type that the file is called by, or else the one that most of its bytes are of."""
    field = reader.fields.get(Keys.General.FILE_TYPE)
    known = {each.value: each.name for each in LlamaFileType}
    said = known.get(field.contents(), _GUESSED) if field is not None else _GUESSED
    if said != _GUESSED:
        return str(said.removeprefix("MOSTLY_").removeprefix("ALL_"))
    sizes = Counter[str]()
    for tensor in reader.tensors:
        sizes[tensor.tensor_type.name] += int(tensor.n_bytes)
    return f"mostly {sizes.most_common(1)[0][0]}"
