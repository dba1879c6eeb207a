"""Every notebook runs from top to bottom without a network, and is stored without its outputs."""

import os
from pathlib import Path

import nbformat
import pytest

from elicit import organisms

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
FIRST = FOLDER / "01_quickstart.ipynb"

runs = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not organisms.names(),
        reason="no organisms are packed: run scripts/train_organisms.py and pack_organisms.py",
    ),
]


def test_there_is_a_quickstart():
    assert FIRST in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.source


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=runs, id=path.stem) for path in NOTEBOOKS if path != FIRST],
)
def test_a_notebook_runs_and_says_nothing_on_stderr(path, tmp_path, monkeypatch, capfd):
    """In this process, which has the libraries loaded; any warning is an error."""
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shell = InteractiveShell()
    shell.history_manager.enabled = False
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            shown = shell.run_cell(cell.source)
            shown.raise_error()
            # As a notebook draws it: figures and tables in HTML.
            shell.display_formatter.format(shown.result)
    assert capfd.readouterr().err == ""
    assert list(tmp_path.rglob("report.html"))


@pytest.mark.parametrize("path", [pytest.param(FIRST, marks=runs, id=FIRST.stem)])
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:zmq|jupyter_client|nbclient|traitlets|tornado"
)
def test_a_notebook_runs_in_a_kernel_and_says_nothing_on_stderr(path, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    for name, value in {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "PYTHONPATH": os.pathsep.join(
            [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
        "TMPDIR": str(tmp_path),
        # Bars are widgets in a notebook; the tests run without that package.
        "PYTHONWARNINGS": "ignore:IProgress not found",
    }.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    said = [
        output.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert said == []
    assert list(tmp_path.rglob("report.html"))
