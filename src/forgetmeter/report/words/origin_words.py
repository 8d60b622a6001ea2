"""Where imported answers came from, in words."""

from __future__ import annotations

from collections.abc import Mapping

from forgetmeter.basics.plural import counted, listed
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.records.imported import Origin

_MOST_FILES = 1
_MOST_NAMES = 4


def origin_remarks(origins: Mapping[str, Origin]) -> list[str]:
    """Return one sentence for each origin, with the variants that share it, then the notes on each variant."""
    shared: dict[str, list[str]] = {}
    notes = []
    for name, origin in origins.items():
        shared.setdefault(origin_in_words(origin), []).append(name)
        notes += [f"{name}: {note}." for note in origin.notes]
    said = [
        f"Imported from {origin}: {listed(names, _MOST_NAMES, separator='; ')}." for origin, names in shared.items()
    ]
    return [visible_line(text) for text in [*said, *notes]]


def origin_in_words(origin: Origin) -> str:
    """Return the tool, the files and the model: ``lm-eval 0.4.13 (6 files; hf; pretrained=org/name)``."""
    files = list(origin.files)
    named = ", ".join(files) if len(files) <= _MOST_FILES else counted(len(files), "file")
    # The other settings are the names of a table's columns, and what all variants have in common.
    model = [str(origin.settings[key]) for key in ("model", "model_args") if origin.settings.get(key)]
    return f"{origin.tool} ({'; '.join([named, *model])})"
