"""Files with an intact footer and damaged content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.errors import UserError
from forgetmeter.results.results import open_run
from forgetmeter.runs.run import Run

RECIPE = "l1_unstructured:overall:0.5"


@pytest.fixture
def location(tmp_path: Path) -> str:
    def right(task: MadeUpTask, _recipe: str, random: np.random.Generator) -> np.ndarray:
        return random.random(task.items) < 0.5

    return write_made_up_run(str(tmp_path / "run"), recipes=[RECIPE], right=right, tasks=[MadeUpTask(items=300)])


@pytest.mark.parametrize(
    ("pattern", "look"),
    [
        ("items/*.parquet", lambda run: run.summary),
        ("items/*.parquet", lambda run: run.items),
        ("items/*.parquet", lambda run: run.run.item_texts),
        ("variants/*/*.parquet", lambda run: run.summary),
        ("variants/*/*.parquet", lambda run: run.outcomes),
        ("variants/*/*.parquet", lambda run: run.forgotten(RECIPE)),
    ],
)
def test_a_damaged_file_is_named(location: str, pattern: str, look: Callable[[Run], object]) -> None:
    look(open_run(location))
    # What is damaged before is found by its digest when the run is opened; earlier versions recorded none.
    opened = open_run(location)
    path = sorted(Path(location).glob(pattern))[0]
    content = bytearray(path.read_bytes())
    content[20:400] = b"?" * 380
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path.parent.name}/{path.name}' of the run at '.*' is damaged") as caught:
        look(opened)
    assert len(str(caught.value).splitlines()) == 1
