"""The notebook in docs/ runs as it is and prints what it shows."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "exploring-a-run.ipynb"


def outputs_of(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the output of each code cell as text; of pictures, their type."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            if output.get("name") == "stderr":
                continue  # warnings about this machine
            data = output.get("data", {})
            found.append("image" if "image/png" in data else data.get("text/plain", output.get("text", "")))
    return found


def test_the_notebook_runs_and_reproduces_its_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A home without the user's settings.
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    stored = nbformat.read(NOTEBOOK, as_version=4)
    run = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(run, timeout=300, kernel_name="python3").execute(cwd=str(tmp_path))
    shown, shows = outputs_of(stored), outputs_of(run)
    assert len(shows) == len(shown) == 10
    assert shows[0] == shown[0] == "(10, ())"
    assert shows.count("image") == 1
    for before, now in zip(shown, shows, strict=True):
        # Only columns and rows: last digits may differ between processors.
        assert before.split("\n")[0].split() == now.split("\n")[0].split()
        assert before.count("\n") == now.count("\n")
    assert "site-packages" not in NOTEBOOK.read_text()
