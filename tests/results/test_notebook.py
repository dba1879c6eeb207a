"""What a notebook shows of a result and of its figure, also where only HTML is kept."""

import json
import re

import plotly.io
import pytest
from IPython.lib.pretty import pretty

from elicit.results import finding, marks
from elicit.results.marks import notebook
from tests.page.made import roles


@pytest.fixture
def fresh(monkeypatch):
    """A notebook that has shown no figure yet, with Jupyter's own renderer."""
    monkeypatch.setattr(notebook._Given, "script", False)
    monkeypatch.setattr(plotly.io.renderers, "default", "plotly_mimetype")


def test_a_figure_has_html_beside_the_form_of_plotlys_extension(fresh):
    first, second = (roles().figure()._repr_mimebundle_() for _ in range(2))
    assert set(first) == {"application/vnd.plotly.v1+json", "text/html"}
    assert first["text/html"].count(marks.plotly_script()) == 1
    assert "plotlyPacked =" not in second["text/html"], "half a megabyte, once"
    told = json.loads(re.search(r"var told = (\{.*?\});\n", second["text/html"], re.S)[1])
    figure = roles().figure()
    assert len(told["data"]) == len(figure.data)
    assert told["layout"]["height"] == figure.layout.height


def test_text_in_a_figure_cannot_end_its_script(fresh):
    figure = marks.blank().add_scatter(x=[1.0], y=[1.0], name="</script><script>alert(1)")
    html = figure._repr_mimebundle_()["text/html"]
    assert html.count("</script>") == 1 and "<script>alert" not in html


def test_a_result_says_its_finding_first_in_a_notebook_and_in_ipython():
    found = roles()
    said = finding(found)
    assert said.startswith("Layer")
    html, text = found._repr_html_(), pretty(found)
    assert html.index(said.split(":")[0]) < html.index("LayerRoles") < html.index("<details>")
    assert text.startswith(said) and text.endswith(repr(found))


def test_a_result_that_no_page_knows_shows_its_shape():
    from tests.results.test_axes import grid

    made = grid()
    assert finding(made) == "" and pretty(made) == repr(made)
