"""A kind of result that the package has never heard of, on a page."""

import re
from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Float
from plotly.graph_objects import Bar, Figure
from torch import Tensor

from elicit import load_result
from elicit.page import PageError, Part, Section, register, render, sentences, table_of
from elicit.page.registry import _PARTS, parts
from elicit.results import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Tides(Result):
    """Height of the water at two harbours."""

    height: Float[Tensor, "harbour hour"]
    """Height, metres."""
    range: Float[Tensor, " harbour"]
    """Highest minus lowest, metres."""
    harbour: tuple[str, ...]
    """Name of each harbour."""

    def figure(self) -> Figure:
        """Range of each harbour."""
        return Figure(Bar(x=self.harbour, y=self.range.tolist()))


@dataclass(frozen=True, eq=False, kw_only=True)
class Bare(Result):
    """Numbers without a figure."""

    height: Float[Tensor, " hour"]
    """Height, metres."""


@pytest.fixture
def tides() -> Tides:
    height = torch.tensor([[1.25, 3.5, 2.0], [0.5, 0.75, 0.5]])
    return Tides(
        height=height,
        range=height.amax(1) - height.amin(1),
        harbour=("Saint-<Malo>", "Piraeus"),
    )


@pytest.fixture
def registered(tmp_path):
    """A part of one's own, gone after the test."""
    before = dict(_PARTS)
    (tmp_path / "methods.html").write_text(
        "{% if 'Tides' in kinds %}<p>Tide gauge {{ values.gauge }}</p>{% endif %}"
    )
    (tmp_path / "limits.html").write_text("<li>Storms are not seen.</li>")
    yield Part(
        name="tides",
        kinds=(Tides,),
        order=1,
        sections=lambda found: [
            Section("tides", "High water", "By the hour.", (table_of("All", ("a",), [["<b>x"]]),))
        ],
        sentences=lambda found: [f"The range is {found[0].range.max():g} m."],
        eyebrow=lambda found: "The sea at two harbours",
        folder=tmp_path,
        values=lambda found: {"gauge": "<i>7"},
    )
    _PARTS.clear()
    _PARTS.update(before)


def body(html: str) -> str:
    """The page without its style and scripts."""
    return re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S)


def test_a_kind_that_nobody_registered_shows_its_title_figure_and_every_table(tides):
    text = body(render([tides, Bare(height=torch.ones(2))]))
    assert "Height of the water at two harbours." in text and 'id="plot-other-0"' in text
    assert 'id="other-1"' in text and 'id="plot-other-1"' not in text
    for words in ("Saint-&lt;Malo&gt;", "3.5", "2.25", "This page shows: Tides, Bare."):
        assert words in text, words
    assert "by moving" not in text and "Which layers matter" not in text


def test_a_registered_kind_brings_sections_sentences_methods_and_limits(tides, registered):
    register(registered)
    assert sentences([tides]) == ["The range is 2.25 m."]
    text = body(render([tides]))
    for words in (
        "The sea at two harbours",
        "The range is 2.25 m.",
        'id="tides"',
        "High water",
        "&lt;b&gt;x",
        "Tide gauge &lt;i&gt;7",
        "Storms are not seen.",
    ):
        assert words in text, words
    assert 'id="other-0"' not in text and "This page shows" not in text
    mixed = body(render([tides, Bare(height=torch.ones(2))]))
    assert "The sea at two harbours" not in mixed and 'id="other-0"' in mixed


def test_a_kind_is_shown_by_one_part_and_the_same_name_replaces(tides, registered):
    register(registered)
    other = Part(name="waves", kinds=(Tides,), sections=lambda found: [])
    with pytest.raises(PageError, match=r"Tides.*'tides'.*'waves'"):
        register(other)
    register(Part(name="tides", kinds=(Tides,), sections=lambda found: []))
    assert 'id="tides"' not in body(render([tides]))


def test_every_room_of_the_page_registers_itself():
    rooms = {"elicitation", "features", "grafting", "patching", "revision", "traces", "verdicts"}
    assert rooms <= {part.name for part in parts()}


def test_a_result_of_ones_own_loads_as_its_class(tides, tmp_path):
    loaded = load_result(tides.save(tmp_path / "tides"))
    assert type(loaded) is Tides and torch.equal(loaded.height, tides.height)
