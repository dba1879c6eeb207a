"""Marks of figures hold the numbers of an estimate and what its interval says."""

import pytest
import torch

from elicit.results import Estimate, marks


@pytest.fixture
def estimate() -> Estimate:
    nan = float("nan")
    return Estimate.of(torch.tensor([[0.5, -0.25, nan], [0.25, -0.5, nan], [1.0, 0.0, nan]]))


def test_bars_reach_from_low_to_high_and_are_absent_where_nothing_was_measured(estimate):
    error = marks.bars(estimate, "red")
    assert error["array"] == [0.5, 0.25, None] and error["arrayminus"] == [0.25, 0.25, None]


@pytest.mark.parametrize(("across", "axis"), [(False, "y"), (True, "x")])
def test_values_and_bars_lie_on_the_same_axis(estimate, across, axis):
    trace = marks.points([0, 1, 2], estimate, "red", None, marker={}, across=across)
    assert (
        trace[axis] == [0.5, -0.25, None]
        and f"error_{axis}" in trace
        and trace["mode"] == "markers"
    )
    assert trace["x" if axis == "y" else "y"] == [0, 1, 2]


def test_a_mark_is_filled_exactly_where_its_interval_excludes_zero(estimate):
    assert marks.hollow("red", estimate.clear)["color"] == ["red", "white", "white"]


def test_hover_texts_escape_their_places(estimate):
    text = marks.hovers("at ", ["<b>", "two", "three"], estimate, "nats")[0]
    assert text == "at &lt;b&gt;: +0.500 [0.250, 1.000] nats"


def test_a_cell_without_a_number_is_blank_and_rows_stack_in_pixels():
    assert marks.heat([[1.0, float("inf")]], None, [["a", "b"]])["z"] == [[1.0, None]]
    figure = marks.stack([100, 100], 50)
    below, above = sorted(axis.domain for axis in figure.select_yaxes())
    assert above[0] - below[1] == pytest.approx(50 / 250)
