"""The noise of a baseline's cell, stored as JSON next to its outcomes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from forgetmeter.records.cell import Cell
from forgetmeter.records.noise import Noise
from forgetmeter.runs import layout
from forgetmeter.runs.record_json import is_number, read_record, record_json


@dataclass(frozen=True)
class StoredNoise:
    """The noise of one model on one task; ``variant`` is the id of its baseline."""

    variant: str
    model: str
    task: str
    noise: Noise

    @property
    def path(self) -> str:
        """Path of its file, relative to the run."""
        return layout.noise_path(self.variant, self.task)


def noise_json(cell: Cell, noise: Noise) -> bytes:
    """Return a cell's noise as JSON."""
    about = {"variant": cell.variant.id, "model": str(cell.variant.model), "task": cell.task}
    return record_json({**about, "noise": asdict(noise)})


def read_noise(content: bytes, *, has_digest: bool) -> StoredNoise | None:
    """Return the stored noise; ``None`` if the file is damaged, as it can simply be measured again."""
    try:
        document = read_record(content, has_digest=lambda _: has_digest)
        stored = dict(document["noise"])
        # Earlier versions always scored in the same one.
        dtype = str(stored.pop("dtype", ""))
        numbers = {field.name: stored[field.name] for field in fields(Noise) if field.name != "dtype"}
        first, second = map(int, numbers.pop("batch_tokens"))
        if not all(map(is_number, numbers.values())) or dtype not in ("", "float32"):
            return None
        variant, model, task = (str(document[key]) for key in ("variant", "model", "task"))
        return StoredNoise(variant, model, task, Noise(**numbers, batch_tokens=(first, second), dtype=dtype))
    except (ValueError, KeyError, TypeError):
        return None
