"""The notebooks of examples/ run from their first to their last cell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = ["quickstart", "train"]


def test_every_notebook_is_listed_and_stored_without_outputs():
    assert sorted(path.stem for path in EXAMPLES.glob("*.ipynb")) == NOTEBOOKS
    for name in NOTEBOOKS:
        cells = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        assert all(cell["outputs"] == [] for cell in cells if cell["cell_type"] == "code")


def executed(name: str, folder: Path) -> list:
    """The code cells after execution in `folder`, by a kernel of this Python."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cells: list, kind: str) -> list:
    """What the cells show in one form, e.g. text/html."""
    outputs = [output for cell in cells for output in cell.outputs if output.output_type != "stream"]
    return [output.data[kind] for output in outputs if kind in output.data]


@pytest.mark.slow
def test_the_quickstart(tmp_path):
    cells = executed("quickstart", tmp_path)
    figures = shown(cells, "application/vnd.plotly.v1+json")
    assert len(figures) == 3
    assert any("<li>all: use " in page for page in shown(cells, "text/html"))
    (threshold,) = [float(t) for t in shown(cells, "text/plain") if t.replace(".", "").isdigit()]
    assert 0.5 < threshold < 1
    point = json.loads((tmp_path / "outputs" / "quickstart" / "operating_point.json").read_text())
    assert point["thresholds"] == [pytest.approx(threshold)]
    assert (tmp_path / "outputs" / "quickstart" / "report.html").exists()


@pytest.mark.slow
def test_training(tmp_path):
    cells = executed("train", tmp_path)
    assert len(shown(cells, "application/vnd.plotly.v1+json")) == 2
    (table,) = [page for page in shown(cells, "text/html") if "slm_before" in page]
    assert all(word in table for word in ("change", "in_domain", "auroc"))
    run = tmp_path / "outputs" / "train_notebook"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 12
    assert (run / "answers_before.parquet").exists()
