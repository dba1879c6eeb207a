"""Execute the notebooks and store them as they ran, with figures as pictures.

    python scripts/notebooks.py [NOTEBOOK ...]        (all of notebooks/ by default)

A stored notebook is read where nothing runs: on GitHub, in a diff, by mail. So plotly's data and
scripts, which are drawn there by nobody, become PNG; what changes from one run to the next (times,
versions, temporary folders) is not kept; and the digest of the code that ran is stored, by which a
test sees that somebody changed a cell and did not run it. Needs Chromium and the extra `dev`.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PLOTLY = "application/vnd.plotly.v1+json"
MOST_BYTES = 400_000
"""Largest stored notebook: it is cloned by everyone who never opens it."""
WIDTH, SCALE = 860, 1.25
"""Pixels of a figure as a notebook's column has it, and how much finer it is drawn."""
HOME = re.compile(r"/(?:home|root|Users|tmp|var|private|work|mnt|opt)/[\w.-]+|[A-Z]:\\\\Users")
"""Paths of the machine that ran the notebook, which are nobody else's."""
_DRAW = """async ([figure, width, scale]) => {
  const height = figure.layout.height || 420;
  const node = document.createElement("div");
  await Plotly.newPlot(node, figure.data, {...figure.layout, width: width});
  const image = new Image();
  image.src = await Plotly.toImage(node, {format: "png", width, height, scale});
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height), drawn = canvas.getContext("2d");
  drawn.drawImage(image, 0, 0);
  const pixels = drawn.getImageData(0, 0, image.width, image.height).data;
  const reader = new FileReader();
  const read = new Promise((done) => { reader.onload = () => done(reader.result); });
  reader.readAsDataURL(new Blob([pixels]));
  return [image.height, image.width, (await read).split("base64,")[1]];
}"""


def main() -> None:
    """Execute and store."""
    parser = argparse.ArgumentParser(description="Execute notebooks and store them.")
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    with drawing(given.chromium) as draw:
        for path in given.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
            notebook = executed(nbformat.read(path, as_version=4))
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs = [stored(output, draw) for output in cell.outputs]
            check(path, notebook)
            nbformat.write(notebook, path)


def digest(notebook: Any) -> str:
    """SHA-256 of the code of a notebook, cell by cell."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def executed(notebook: Any) -> Any:
    """The notebook after a run in a fresh kernel and an empty folder, without times."""
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            "PYTHONWARNINGS": "ignore:IProgress not found",
        }
        NotebookClient(
            notebook,
            timeout=1200,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": folder}},
        ).execute()
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["source_sha256"] = digest(notebook)
    return notebook


@contextmanager
def drawing(chromium: str) -> Iterator[Callable[[Any], str]]:
    """What turns plotly's JSON into a PNG in base64."""
    from playwright.sync_api import sync_playwright
    from plotly.offline import get_plotlyjs

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(content=get_plotlyjs())

        def draw(figure: Any) -> str:
            height, width, pixels = page.evaluate(_DRAW, [figure, WIDTH, SCALE])
            told = np.frombuffer(base64.b64decode(pixels), dtype=np.uint8)
            made = png(told.reshape(height, width, 4)[:, :, :3])
            return base64.b64encode(made).decode("ascii")

        yield draw
        browser.close()


def png(pixels: np.ndarray) -> bytes:
    """A PNG with a palette of at most 256 colours, a third of one without for figures like these.

    Args:
        pixels: Red, green and blue of every pixel, `[height, width, 3]`, 0 to 255.
    """
    height, width, _ = pixels.shape
    code = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    found, place, count = np.unique(code.ravel(), return_inverse=True, return_counts=True)
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], 1)
    # The commonest as they are, then always the colour that is farthest from all others.
    palette = colours[np.argsort(-count, kind="stable")[:128]]
    far = np.full(len(colours), np.iinfo(np.int32).max)
    nearest = np.zeros(len(colours), dtype=np.uint8)
    for entry in range(256):
        if entry == len(palette):
            if not far.any():
                break
            palette = np.concatenate([palette, colours[far.argmax()][None]])
        away = ((colours - palette[entry]) ** 2).sum(1)
        nearest[away < far] = entry
        far = np.minimum(far, away)
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each begins with 0: no filter
    rows[:, 1:] = nearest[place.ravel()].reshape(height, width)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = {
        b"IHDR": head,
        b"PLTE": palette.astype(np.uint8).tobytes(),
        b"IDAT": zlib.compress(rows.tobytes(), 9),
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def stored(output: Any, draw: Callable[[Any], str]) -> Any:
    """An output as it is kept: a figure as a picture alone."""
    data = output.get("data", {})
    if PLOTLY in data:
        output.data = {"image/png": draw(data[PLOTLY]), "text/plain": "<Figure>"}
    return output


def check(path: Path, notebook: Any) -> None:
    """Refuse what should not be stored.

    Raises:
        SystemExit: A cell warned, a path of this machine is shown, or the file would be large.
    """
    text = nbformat.writes(notebook)
    if len(text.encode()) > MOST_BYTES:
        raise SystemExit(f"{path} would have {len(text.encode()):,} bytes, of {MOST_BYTES:,}.")
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            shown = json.dumps({**output, "data": _texts(output)}, ensure_ascii=False)
            if found := HOME.search(shown):
                raise SystemExit(f"{path} shows {found[0]!r} after:\n{cell.source}")
            if output.get("name") == "stderr":
                raise SystemExit(f"{path} says on stderr: {output['text']}")


def _texts(output: Any) -> dict[str, Any]:
    """Forms of an output that are not pictures."""
    return {kind: text for kind, text in output.get("data", {}).items() if "image" not in kind}


if __name__ == "__main__":
    main()
