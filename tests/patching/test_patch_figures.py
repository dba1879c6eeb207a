"""A heat map shows the grid's numbers, marks what is not clear of 0, and shows text as text."""

from dataclasses import replace

import pytest
import torch

from elicit.patching.factorial_result import conclude_factorial
from elicit.patching.figures import factorial_figure, grid_figure
from elicit.sites import mlp_out, resid_pre, z
from elicit.stats import Inference
from tests.patching.made import contrast, grid, noise, sweep

HOSTILE = "<script>alert(1)</script>"


def texts(figure) -> str:
    """Everything that plotly would read as markup."""
    return figure.to_json()


@pytest.fixture(scope="module")
def made():
    effects = 0.1 * noise(8, 3, 12)
    effects[2, 1] += 3.0
    effects[6, 2] -= 2.0
    sites = [*map(resid_pre, range(4)), z(0, 0), z(0, 1), z(1, 0), z(1, 1)]
    values = sweep(effects, sites, pos=("0 Q", f"1 {HOSTILE}", "-1 A"))
    control = values.host[:, None, None] + 0.1 * noise(1, 8, 3, 12, seed=7)
    return grid(replace(values, other_prompt=control, noise=control + 0.01))


def test_each_kind_has_its_map_with_both_controls_beside_it(made):
    figure = made.figure()
    maps = figure.data
    assert len(maps) == 2 * 3
    assert torch.equal(
        torch.tensor(maps[0].z, dtype=torch.float64), made.effect.value[0, 0, :4]
    )  # layers × positions
    assert torch.equal(torch.tensor(maps[1].z, dtype=torch.float64), made.other_prompt.value[0, :4])
    # Heads are shown at the position where the largest effect is.
    heads = made.effect.value[0, 0, 4:, 2].reshape(2, 2)
    assert torch.equal(torch.tensor(maps[3].z, dtype=torch.float64), heads)
    titles = " ".join(a.text for a in figure.layout.annotations)
    for words in ("resid_pre", "<b>z</b> at −1 A", "another prompt", "noise of equal norm"):
        assert words in titles


def test_the_scale_is_one_for_all_maps_and_centred_at_zero(made):
    axis = made.figure().layout.coloraxis
    assert axis.cmin == -axis.cmax
    assert axis.cmax == pytest.approx(
        max(made.effect.value.abs().max().item(), made.gap.value.item())
    )


def test_a_number_or_a_dot_marks_exactly_the_cells_whose_interval_excludes_zero(made):
    clear = made.effect.clear[0, 0, :4]
    found = torch.tensor([[word != "" for word in line] for line in made.figure().data[0].text])
    assert torch.equal(found, clear)
    assert clear[2, 1]
    assert not clear.all()


def test_pointing_at_a_cell_tells_its_interval_share_and_controls(made):
    told = made.figure().data[0].customdata[2][1]
    for words in ("resid_pre.2", "effect +3.", "share of the gap", "adjusted p", "another prompt"):
        assert words in told
    assert told.count("(effect is beyond it)") == 2
    assert "beyond" not in made.figure().data[0].customdata[0][0]


def test_hostile_tokens_and_names_stay_text(made):
    hostile = replace(made, host=HOSTILE, donor=HOSTILE, direction=HOSTILE)
    for figure in (grid_figure(hostile), grid_figure(made)):
        page = texts(figure)
        assert "<script" not in page.replace("\\u003c", "<")
        assert "&lt;script&gt;" in page.replace("\\u003c", "<").replace("\\u0026", "&")


def test_a_grid_without_gap_or_effect_is_drawn_and_says_so():
    nothing = grid(sweep(torch.zeros(2, 1, 6).double(), [mlp_out(0), mlp_out(2)], gap=0.0))
    figure = nothing.figure()
    assert len(figure.data) == 1
    assert "no shares" in figure.layout.title.text
    assert figure.layout.coloraxis.cmax == 1.0
    assert list(figure.layout.yaxis.ticktext) == ["0", "2"]


def test_another_metric_is_drawn_in_its_own_unit():
    two = grid(sweep(noise(1, 2, 2, 2, 8), [resid_pre(0), resid_pre(1)]))
    figure = grid_figure(two, "log_prob")
    assert figure.layout.coloraxis.colorbar.title.text == "nats"
    assert torch.equal(torch.tensor(figure.data[0].z, dtype=torch.float64), two.effect.value[0, 1])


def test_a_factorials_lines_are_its_effects_with_their_intervals():
    values = noise(5, 2, 2, 2, 2, 10)
    values[3, :, 1] += 3
    f = conclude_factorial(
        values,
        contrast=contrast(10),
        metric="log_prob",
        pos=("all", HOSTILE),
        inference=Inference(n_resamples=200),
    )
    figure = factorial_figure(f)
    assert len(figure.data) == 2 * 4
    wrote = figure.data[0]
    assert list(wrote.y) == f.wrote[:, 0].tolist()
    ends = [y + up for y, up in zip(wrote.y, wrote.error_y.array, strict=True)]
    assert ends == pytest.approx(f.effect.high[0, :, 0].tolist())
    filled = [color != "white" for color in wrote.marker.color]
    assert filled == f.effect.clear[0, :, 0].tolist()
    assert filled[3]
    assert "<script" not in texts(figure).replace("\\u003c", "<")
    assert len(f.figure().data) == 8
