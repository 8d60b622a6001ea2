"""Where the probes' data is: in folders laid out as their authors do."""

from __future__ import annotations

import os
from pathlib import Path

from forgetmeter.cache_folder import cache_folder
from forgetmeter.errors import UserError

VARIABLE = "FORGETMETER_DATA"

LAMA = "LAMA"
BEAR = "BEAR"
LAMA_ADDRESS = "https://dl.fbaipublicfiles.com/LAMA/data.zip"

_SOURCES = {
    LAMA: f"{LAMA_ADDRESS} (see github.com/facebookresearch/LAMA)",
    BEAR: "the lm-pub-quiz project (github.com/lm-pub-quiz/BEAR)",
}
_HOLDS = {
    LAMA: "relations.jsonl, TREx/, Google_RE/, Squad/ and ConceptNet/",
    BEAR: "metadata_relations.json and P*.jsonl",
}


def data_folder(given: Path | None = None) -> Path:
    """Return the data folder: the one given, else ``FORGETMETER_DATA``, else ``data`` in the cache folder."""
    if given is not None:
        return given.expanduser()
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else cache_folder() / "data"


def probe_folder(probe: str, given: Path | None = None) -> Path:
    """Return the folder of a probe inside the data folder.

    Args:
        probe: ``LAMA`` or ``BEAR``.
        given: The data folder, where it was named.

    Raises:
        UserError: It is not there; the message says what it must hold and where to get it.
    """
    data = data_folder(given)
    folder = data / probe
    if not folder.is_dir():
        raise UserError(
            f"there is no folder '{folder}': 'forgetmeter data fetch {probe.lower()}' brings it, from "
            f"{_SOURCES[probe]}; or set --data or {VARIABLE} to the folder in which {probe}/ is, with {_HOLDS[probe]}"
        )
    return folder


def fetch_again(probe: str) -> str:
    """Return what to do about a file of a probe that is missing or damaged, as the end of a message."""
    return f"fetch it again from {_SOURCES[probe]}"
