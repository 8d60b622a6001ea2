"""A disk that is full in the middle of a run: what is stored stays whole, and the same command goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stored_tables import stored

from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Progress
from forgetmeter.records.cell import Cell
from forgetmeter.study.running import run

STUDY = {
    "models": ["standard:decoder"],
    "recipes": [f"l1_unstructured:overall:0.{level}" for level in range(1, 6)],
    "tasks": ["facts:templates=0"],
    "evaluation.limit": 5,
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB, where mounting one is permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a tmpfs is not permitted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


class Filling(Progress):
    """Fills the disk after two cells."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._cells = folder, 0

    def cell_finished(self, cell: Cell, *, seconds: float) -> None:
        self._cells += 1
        if self._cells == 2:
            with (self._folder / "other").open("wb", buffering=0) as stream:
                try:
                    while True:
                        stream.write(bytes(4096))
                except OSError:
                    pass


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_stops_a_run_that_goes_on_later(small_disk: Path, tmp_path: Path, workers: int) -> None:
    study, alone = STUDY | {"output": str(small_disk / "run")}, STUDY | {"output": str(tmp_path / "alone")}
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\); once it can, run the same"):
        run(study, workers=workers, progress=Filling(small_disk))
    assert list(small_disk.rglob(".tmp-*")) == []
    (small_disk / "other").unlink()
    finished = run(study, workers=workers)
    assert (finished.failures, 2 <= finished.computed < 6) == ((), True)
    run(alone)
    assert stored(study["output"]) == stored(alone["output"])
