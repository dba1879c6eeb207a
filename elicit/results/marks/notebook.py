"""Figures that are seen in every notebook: also where only HTML is kept, as in `nbconvert`."""

import json
from functools import cache
from typing import Any

from elicit.results.marks.bundle import plotly_script

_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
_UNPACK = """
window.elicitPlotly = window.Plotly ? Promise.resolve() : new Response(
  new Blob([Uint8Array.from(atob(plotlyPacked), function (c) { return c.charCodeAt(0); })])
    .stream().pipeThrough(new DecompressionStream("gzip"))
).text().then(function (code) {
  var script = document.createElement("script");
  script.textContent = code;
  document.head.appendChild(script);
});
"""
_FRAME = """<div class="elicit-figure" style="height: {height}px; background: white">
<p>The figure is drawn by a script, which is not run here.</p></div>
<script>{first}
(function (node) {{
  var told = {told};
  (window.elicitPlotly || Promise.reject()).then(function () {{
    node.textContent = "";
    Plotly.newPlot(node, told.data, told.layout, {{ responsive: true, displaylogo: false }});
  }}, function () {{}});
}})(document.currentScript.previousElementSibling);
</script>"""


class _Given:
    """Whether this process has handed the drawing script to its notebook."""

    script = False


@cache
def figure_class() -> type:
    """Plotly’s figure with HTML beside the form that only plotly’s notebook extension shows."""
    import plotly.io
    from plotly.graph_objects import Figure

    class NotebookFigure(Figure):
        """A plotly figure whose output in a notebook outlives the notebook."""

        def _repr_mimebundle_(
            self, include: Any = None, exclude: Any = None, validate: bool = True, **kwargs: Any
        ) -> dict[str, Any]:
            bundle = super()._repr_mimebundle_(include, exclude, validate, **kwargs)
            if "text/html" not in bundle:
                bundle["text/html"] = figure_html(self, script=not _Given.script)
                _Given.script = True
            return bundle

        def _ipython_display_(self) -> None:
            if plotly.io.renderers.default != "plotly_mimetype":
                super()._ipython_display_()
                return
            from IPython.display import display

            display(self._repr_mimebundle_(), raw=True)

    return NotebookFigure


def figure_html(figure: Any, *, script: bool) -> str:
    """A figure as a piece of HTML.

    Args:
        figure: Plotly figure.
        script: Whether the script that draws it comes along (half a megabyte, once a notebook).
    """
    told = json.loads(figure.to_json())
    layout = told["layout"]
    text = json.dumps({"data": told["data"], "layout": layout}, sort_keys=True).translate(_SAFE)
    first = f"\n{plotly_script()}{_UNPACK}" if script else ""
    return _FRAME.format(height=int(layout.get("height") or 420), told=text, first=first)
