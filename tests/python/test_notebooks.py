"""The tutorial notebooks: each runs from top to bottom in a kernel of its own, and is kept without what it prints."""

import os
import pathlib
import sys
import warnings

import pytest

from shown.html import checked

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SHOWN = {  # what must be seen, in words
    "1-first-document": ("open change", "written at the same time", "by the river", "4 writes"),
    "2-byzantine-lab": ("fork", "waiting", "missing", "two stories", "bytes convict", "void", "1 refused"),
    "3-property-testing": ("1 open of", "Hash graph", "equivocation"),
}


def test_there_are_three():
    assert [file.stem for file in NOTEBOOKS] == sorted(SHOWN)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_kept_clean(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert len(file.read_bytes()) < 20_000


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs(file, tmp_path, monkeypatch):
    root = str(FOLDER.parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(file, as_version=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of asyncio and zmq, in the thread that talks to the kernel
        client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
        client.create_kernel_manager()
        client.km.kernel_spec.argv[0] = sys.executable
        client.execute()
    words = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            data = output.get("data", {})
            if "text/html" in data:
                is_graph = "image/svg+xml" in data
                words.append(checked(data["text/html"], 512 << 10 if is_graph else 64 << 10))
            words.append(output.get("text", "") + data.get("text/plain", ""))
    seen = "\n".join(words)
    assert "cannot be shown" not in seen
    for word in SHOWN[file.stem]:
        assert word in seen, word
