"""Marks with intervals."""

from collections.abc import Sequence
from typing import Any

from elicit.results import Estimate
from elicit.results.drawing import plain_numbers

Ends = Sequence[tuple[float, float, float]]
"""Value, low and high of each mark."""


def ends_of(estimate: Estimate) -> Ends:
    """Value, low and high of each number of an estimate over one axis."""
    return list(
        zip(estimate.value.tolist(), estimate.low.tolist(), estimate.high.tolist(), strict=True)
    )


def error_bars(estimate: Estimate, color: str) -> dict[str, Any]:
    """Plotly's `error_y` of an estimate over one axis."""
    return {
        "type": "data",
        "symmetric": False,
        "array": plain_numbers([high - value for value, _, high in ends_of(estimate)]),
        "arrayminus": plain_numbers([value - low for value, low, _ in ends_of(estimate)]),
        "color": color,
        "thickness": 1.5,
        "width": 3,
    }
