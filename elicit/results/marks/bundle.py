"""The script that draws the figures: plotly.js with cartesian axes alone, packed into the page."""

import base64
import gzip
from functools import cache
from pathlib import Path

BUNDLE = Path(__file__).parent / "plotly-cartesian.min.js.gz"
"""`plotly-cartesian.min.js` of the npm package `plotly.js-cartesian-dist-min`, unchanged, as gzip.
Its version is that of the plotly.js which the Python package writes figures for."""


@cache
def plotly_script() -> str:
    """Content of a script element: licence, then the bundle as base64 for `script.js` to unpack.

    A third of the plain bundle and a tenth of the plotly.js that the Python package ships; a page
    has to be mailed.
    """
    packed = BUNDLE.read_bytes()
    licence = gzip.decompress(packed)[:400].decode("utf-8").partition("*/")[0]
    return f'{licence}*/\nvar plotlyPacked = "{base64.b64encode(packed).decode("ascii")}";'
