"""A figure shows the numbers, and marks what an interval does and does not say."""

import math
from dataclasses import replace

import pytest
import torch

from elicit.grafting.figures import (
    effect_figure,
    integrated_figure,
    interpolation_figure,
    interval_figure,
    shown_tasks,
)
from elicit.weights import by_layer
from elicit.weights.figures import change_figure
from tests.page.made import (
    N_LAYERS,
    change,
    integrated,
    interpolation,
    intervals,
    roles,
)


def test_a_layers_change_is_the_root_mean_square_over_its_tensors() -> None:
    weights = change()
    found = by_layer(weights)
    assert found.layer.tolist() == list(range(N_LAYERS))
    own = weights.relative_norm[weights.layer == 3]
    expected = math.sqrt(sum(v * v for v in own.tolist()) / len(own))
    assert found.relative_norm[3].item() == pytest.approx(expected, rel=1e-12)
    assert found.relative_norm[5].item() == 0
    assert by_layer(change(bare=True)).activation_norm.isnan().all()


def test_a_tensor_that_was_zero_in_base_is_named_and_spoils_no_mean() -> None:
    weights = change()
    size = weights.relative_norm.clone()
    row = int((weights.layer == 2).nonzero()[0])
    size[row] = float("inf")
    found = by_layer(replace(weights, relative_norm=size))
    assert found.from_zero.tolist() == [False, False, True, False, False, False]
    rest = [v for v in size[weights.layer == 2].tolist() if math.isfinite(v)]
    assert found.relative_norm[2].item() == pytest.approx(
        math.sqrt(sum(v * v for v in rest) / len(rest))
    )
    texts = [a.text for a in effect_figure(roles(), change=weights).layout.annotations]
    assert "+∞" not in texts
    drawn = effect_figure(roles(), change=replace(weights, relative_norm=size))
    assert "+∞" in [a.text for a in drawn.layout.annotations]


def test_a_mark_is_filled_exactly_where_its_joint_interval_is_clear_of_zero() -> None:
    a = roles()
    figure = effect_figure(a, tasks=[0])
    trace = next(t for t in figure.data if t.name.startswith("graft"))
    clear = a.graft.clear[0, :N_LAYERS].tolist()
    assert [color != "white" for color in trace.marker.color] == clear
    assert any(clear)
    assert not all(clear)


def test_bars_reach_exactly_from_low_to_high() -> None:
    a = roles()
    trace = effect_figure(a, tasks=[1]).data[-2]
    up, down = torch.tensor(trace.error_y.array), torch.tensor(trace.error_y.arrayminus)
    y = torch.tensor(trace.y)
    assert torch.allclose(y + up.double(), a.graft.high[1, :N_LAYERS].double())
    assert torch.allclose(y - down.double(), a.graft.low[1, :N_LAYERS].double())


def test_zero_lies_in_the_middle_and_everything_within_the_panel() -> None:
    for a in (roles(), roles(plant=False), roles(identical=True)):
        low, high = effect_figure(a, tasks=[0]).layout.yaxis2.range
        assert low == -high
        assert high >= 2 * a.margin
        assert high > max(a.graft.high[0, :N_LAYERS].max(), -a.graft.low[0, :N_LAYERS].min())


def test_tasks_without_a_role_are_shown_only_where_none_has_one() -> None:
    a = roles()
    assert shown_tasks(a) == (0, 1)
    assert shown_tasks(replace(a, role=("none", "skill"))) == (1,)
    assert shown_tasks(replace(a, role=("none", "none"))) == (0, 1)


def test_verdicts_stand_over_their_layers() -> None:
    figure = effect_figure(roles())
    at = {t.name: list(t.x) for t in figure.data if t.yaxis == "y"}
    assert at == {
        "corrupted": [1, 4],
        "carries the skill": [3],
        "changed, one-way": [0],
        "changed, not distinguishable": [2],
        "unchanged": [5],
    }
    grounds = [(s.x0, s.x1) for s in figure.layout.shapes if s.type == "rect"]
    assert sorted(grounds) == [(0.5, 1.5), (2.5, 3.5), (3.5, 4.5)]


def test_finer_parts_stand_in_order_of_their_layers_with_the_outside_last() -> None:
    figure = effect_figure(roles(), kinds=("attn", "mlp", "outside"))
    names = list(figure.layout.xaxis3.ticktext)
    assert names[:4] == ["L0.attn", "L0.mlp", "L1.attn", "L1.mlp"]
    assert names[-3:] == ["embed", "unembed", "final_norm"]


def test_a_cell_of_the_heat_map_has_a_number_only_where_it_is_clear_of_zero() -> None:
    sweep = intervals()
    trace = interval_figure(sweep, tasks=[0]).data[0]
    for first in range(N_LAYERS):
        for last in range(N_LAYERS):
            text = trace.text[first][last]
            if last < first:
                assert text == ""
                assert trace.z[first][last] is None or math.isnan(trace.z[first][last])
                continue
            low, high = sweep.revert.low[0, first, last], sweep.revert.high[0, first, last]
            assert (text == "") == (not (low > 0 or high < 0))
    assert trace.zmin == -trace.zmax


def test_marked_layers_are_named_at_the_end_of_their_lines() -> None:
    names = [
        a.text for a in interpolation_figure(interpolation(), marked=(1, 3)).layout.annotations
    ]
    assert "L1" in names
    assert "L3" in names
    together = interpolation_figure(interpolation(), marked=(1, 4)).layout.annotations
    assert "L1, L4" in [a.text for a in together]


def test_the_bars_of_integrated_gradients_are_the_attributions_with_their_error_told() -> None:
    figure = integrated_figure(integrated())
    assert list(figure.data[0].y) == integrated().attribution[0].tolist()
    assert "completeness error 0.97 %" in figure.layout.annotations[0].text


def test_tensors_of_one_kind_in_one_layer_share_a_cell() -> None:
    figure = change_figure(change())
    assert list(figure.data[0].y) == ["q", "k", "v", "o", "gate", "up", "down", "norm"]
    weights = change()
    at = weights.place.index("L3.v")
    assert figure.data[0].z[2][3] == pytest.approx(weights.relative_norm[at].item())
    assert len(change_figure(change(bare=True)).data) == 1
