"""Pictures show the numbers of the result, wrap what is long, and show text as text."""

import dataclasses
import math

import pytest
import torch

from elicit.results import label
from elicit.revision import RevisionError
from elicit.revision.figures import profile_figure, strip_figure
from elicit.revision.figures.lines import LINE, MOST, WIDE
from tests.revision import made

HOSTILE = ("<script>alert(1)</script>", "<b>", "&lt;", "\u202e]]>")


def same(drawn: object, expected: torch.Tensor) -> bool:
    """Whether plotly holds these very numbers."""
    return torch.equal(torch.tensor(drawn, dtype=expected.dtype), expected)


def told(figure) -> str:
    """Everything that plotly would read as markup."""
    return figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">")


def test_a_heat_map_is_the_divergence_of_one_row_on_a_fixed_scale():
    found = made.profile(rows=3)
    for m, model in enumerate(found.model):
        figure = profile_figure(found, row=1, model=model)
        (cells,) = figure.data
        assert same(cells.z, found.jsd[m][:, found.row == 1])
        assert list(figure.layout.xaxis.ticktext) == ["=", "3", "so", "a", "=", "3"]
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, math.log(2))
    assert found.figure().data[0].z == profile_figure(found, row=0, model="base").data[0].z


def test_each_cell_holds_the_layers_first_token_and_pointing_at_it_tells_the_rest():
    found = made.profile()
    cells = profile_figure(found, model="post").data[0]
    assert found.top_id is not None
    for layer in range(made.N_LAYERS + 1):
        for token in range(6):
            word = found.word[found.top_id[1, layer, token, 0]]
            assert cells.text[layer][token] == word
    said = cells.customdata[2][3]
    nats = found.jsd[1, 2, 3].item()
    assert f"{nats:.3f} nats = {nats / math.log(2):.3f} bits" in said
    for words in ("after 2 layers", "before “3”", "rank 1", "KL", "entropy", "(p 0.368)"):
        assert words in said


def test_without_kept_tokens_cells_are_empty():
    bare = dataclasses.replace(made.profile(), top_id=None, top_log_prob=None)
    assert {word for line in bare.figure().data[0].text for word in line} == {""}


@pytest.mark.parametrize(("words", "width"), [(("so", "7"), LINE), (("because", "7"), WIDE)])
def test_a_long_row_is_broken_into_lines_that_hold_every_token_once(words, width):
    n = 3 * width + 2
    for figure, name in (
        (made.profile(n_tokens=n, rows=1, words=words).figure(), "jsd"),
        (strip_figure(made.settling(n_tokens=n, n_problems=2, words=words)), "depth"),
    ):
        assert [len(line.z[0]) for line in figure.data] == [width] * 3 + [2], name
        axes = list(figure.select_xaxes())
        # The last line's cells are as wide as the others'.
        assert len({tuple(axis.range) for axis in axes}) == 1


def test_a_row_longer_than_anybody_scrolls_is_cut_and_says_so():
    figure = strip_figure(made.settling(n_tokens=MOST + 60, n_problems=2))
    assert sum(len(line.z[0]) for line in figure.data) == MOST
    assert f"first {MOST} of {MOST + 60} tokens" in figure.layout.title.text


def test_a_strip_holds_the_depths_of_its_row_and_deep_ones_are_bold():
    found = made.settling(later=0.6, sources=("base", "post"))
    figure = strip_figure(found, row=3, source="post")
    here = (found.source_of == 1) & (found.row == 3)
    (cells,) = figure.data
    assert same(cells.z, found.depth[:, here])
    bold = [[word.startswith("<b>") for word in line] for line in cells.text]
    assert bold == found.deep[:, here].tolist()
    assert found.deep[1].any() and not found.deep.all()
    assert [*figure.layout.yaxis.ticktext] == ["base", "post"]


def test_the_strips_colours_step_from_blue_to_orange_exactly_where_deep_begins():
    found = made.settling()
    axis = strip_figure(found).layout.coloraxis
    places = [stop[0] for stop in axis.colorscale]
    step = axis.cmin + places[1] * (axis.cmax - axis.cmin)
    assert places[1] == places[2] and step == pytest.approx(found.deep_from - 0.5)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: profile_figure(made.profile(), row=7), ("row is 7", "0, 1")),
        (lambda: profile_figure(made.profile(), model="chat"), ("'chat'", "base and post")),
        (lambda: strip_figure(made.settling(), row=70), ("row is 70", "from 0 to 7")),
        (lambda: strip_figure(made.settling(), source="own"), ("'own'", "given")),
    ],
)
def test_what_was_not_read_cannot_be_drawn(draw, words):
    with pytest.raises(RevisionError) as refused:
        draw()
    assert all(word in str(refused.value) for word in words)


def test_curves_are_the_profiles_and_their_difference_with_its_bands():
    found = made.settling(later=0.5, sources=("base", "post"))
    lines = [trace for trace in found.figure().data if trace.mode == "lines+markers"]
    bands = [trace for trace in found.figure().data if trace.fill == "toself"]
    assert (len(lines), len(bands)) == (6, 6)
    for s in range(2):
        for m in range(2):
            assert same(lines[3 * s + m].y, found.profile.value[s, m])
        assert same(lines[3 * s + 2].y, found.profile_diff.value[s])
        ends = torch.cat([found.profile_diff.high[s], found.profile_diff.low[s].flip(0)])
        assert same(bands[3 * s + 2].y, ends)
    clear = found.profile_diff.clear
    filled = [color != "white" for color in lines[2].marker.color]
    assert filled == clear[0].tolist() and any(filled) and not all(filled)
    grey = [shape for shape in found.figure().layout.shapes if shape.type == "rect"]
    assert {(shape.x0, shape.x1) for shape in grey} == {(found.deep_from - 0.5, 5.5)}


def test_one_problem_has_curves_and_no_bands():
    figure = made.settling(n_problems=1).figure()
    assert [trace.fill for trace in figure.data] == [None] * 3


def test_the_band_is_drawn_with_the_intervals_it_has():
    found = made.band(made.settling(later=0.6))
    figure = found.figure()
    assert len(figure.data) == len(found.threshold)
    for g, points in enumerate(figure.data):
        assert same(points.y, found.dtr_diff.value[g])
        high = [y + up for y, up in zip(points.y, points.error_y.array, strict=True)]
        assert high == pytest.approx(found.dtr_diff.high[g].tolist())
        clear = found.dtr_diff.clear[g]
        assert [color != "white" for color in points.marker.color] == clear.tolist()


def test_groups_are_drawn_beside_their_paired_difference():
    found = made.groups(made.settling(later=0.6), ("hard", "easy"))
    base, post, diff = found.figure().data
    assert same(base.y, found.depth.value[0]) and same(post.y, found.depth.value[1])
    assert same(diff.y, found.diff.value)
    assert [*found.figure().layout.xaxis.ticktext] == ["easy", "hard"]
    assert "minus easy" in base.text[1] and "4 problems" in base.text[1]


def test_hostile_tokens_and_names_stay_text():
    depths = made.settling(words=HOSTILE, sources=(HOSTILE[0],))
    depths = dataclasses.replace(
        depths, model=(HOSTILE[0], HOSTILE[1]), problem=tuple(f"{HOSTILE[0]}{i}" for i in range(8))
    )
    read = dataclasses.replace(made.profile(words=HOSTILE), problem=(HOSTILE[0],) * 2)
    figures = [depths.figure(), strip_figure(depths), read.figure()]
    figures.append(made.groups(depths, HOSTILE).figure())
    figures.append(dataclasses.replace(made.band(depths), model=HOSTILE[:2]).figure())
    for figure in figures:
        page = told(figure)
        assert "<script" not in page and "\u202e" not in page
        assert label(HOSTILE[0])[:12] in page or figure is figures[-1]
