"""Every notebook runs from top to bottom without a network, and is stored as it ran."""

import os
import re
from pathlib import Path

import nbformat
import pytest

from elicit import organisms
from scripts.notebooks import HOME, MOST_BYTES, digest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
FIRST = FOLDER / "01_quickstart.ipynb"
SMALLER = {
    "01_quickstart": {"N_FACTS": 48, "N_PROBLEMS": 16, "MAX_NEW_TOKENS": 48},
    "02_patching": {"N_PROBLEMS": 24},
    "03_revision": {"N_PROBLEMS": 80, "N_SEEN": 6},
    "04_features": {"N_PROBLEMS": 60, "N_STEPS": 300, "N_POSITIONS": 8, "N_SAMPLES": 4},
    "05_exists": {"N_DOSED": 0, "N_REDRAWN": 1},
    "06_traces": {"N_PROBLEMS": 36, "N_OTHERS": 40},
    "07_mechanisms": {"N_PROBLEMS": 16, "N_BRANCHES": 3},
}
"""What a test gives for a notebook's parameters; what is planted is found with these as well."""

runs = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not organisms.names(),
        reason="no organisms are packed: run scripts/train_organisms.py and pack_organisms.py",
    ),
]


def code_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parameters(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [c for c in code_of(notebook) if "parameters" in c.metadata.get("tags", [])]


def test_there_is_a_quickstart_and_each_notebook_has_smaller_sizes_for_tests():
    assert FIRST in NOTEBOOKS
    assert [path.stem for path in NOTEBOOKS] == list(SMALLER)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_states_what_it_costs_in_its_first_code_cell(path):
    notebook = nbformat.read(path, as_version=4)
    (cell,) = parameters(notebook)
    assert cell is code_of(notebook)[0]
    stated = {}
    exec(cell.source, stated)
    for name, value in SMALLER[path.stem].items():
        assert type(stated[name]) is type(value), name
    rest = "\n".join(cell.source for cell in code_of(notebook)[1:])
    unused = [n for n in stated if n.isupper() and not re.search(rf"\b{n}\b", rest)]
    assert unused == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_it_ran(path):
    """Executed in order, as its text now stands, small, without errors, remarks, scripts, paths."""
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) <= MOST_BYTES
    notebook = nbformat.reads(text, as_version=4)
    code = code_of(notebook)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert notebook.metadata["source_sha256"] == digest(notebook), "run scripts/notebooks.py"
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {
        "execute_result",
        "display_data",
        "stream",
    }
    assert [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"] == []
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert kinds <= {"text/plain", "text/html", "image/png"}
    assert "image/png" in kinds or not any(".figure()" in cell.source for cell in code)
    said = [
        text
        for output in outputs
        for kind, text in (output.get("data") or {"stream": output.text}).items()
        if kind != "image/png"
    ]
    assert [text for text in said if HOME.search(text) or "<script" in text] == []


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=runs, id=path.stem) for path in NOTEBOOKS]
)
def test_a_notebook_finds_what_was_planted_and_says_nothing_on_stderr(
    path, tmp_path, monkeypatch, capfd, request
):
    """In this process, which has the libraries loaded; any warning is an error."""
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shell = InteractiveShell()
    shell.history_manager.enabled = False
    for cell in code_of(nbformat.read(path, as_version=4)):
        shown = shell.run_cell(cell.source)
        shown.raise_error()
        # As a notebook draws it: figures and tables in HTML.
        shell.display_formatter.format(shown.result)
        if "parameters" in cell.metadata.get("tags", []) and not request.config.getoption("full"):
            shell.user_ns.update(SMALLER[path.stem])
    assert capfd.readouterr().err == ""
    assert list(tmp_path.rglob("report.html"))


@pytest.mark.parametrize("path", [pytest.param(FIRST, marks=runs, id=FIRST.stem)])
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:zmq|jupyter_client|nbclient|traitlets|tornado"
)
def test_a_notebook_runs_in_a_kernel_and_says_nothing_on_stderr(
    path, tmp_path, monkeypatch, request
):
    if not request.config.getoption("full"):
        pytest.skip("a kernel loads every library once more; pass --full")
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
