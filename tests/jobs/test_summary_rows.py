"""Rows of `summary.json`: an estimate with its ends, and no number that JSON lacks."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float

from elicit.jobs._summary import finite, row_of
from elicit.results import Estimate, Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Tides(Result):
    """Height of the water."""

    harbour: tuple[str, ...]
    """Names."""
    height: Annotated[Estimate, " harbour"]
    """Height, metres."""
    depth: Float[torch.Tensor, " harbour"]
    """Depth, metres."""
    level: float
    """Coverage."""


def test_a_row_has_the_fields_at_its_place_and_null_for_nan():
    nan = float("nan")
    height = Estimate.of(torch.tensor([[1.0, nan], [0.5, nan], [2.0, nan]]))
    tides = Tides(harbour=("a", "b"), height=height, depth=torch.tensor([nan, 3.0]), level=0.95)
    assert row_of(tides, "harbour height depth", 0) == {
        "harbour": "a", "height": {"value": 1.0, "low": 0.5, "high": 2.0}, "depth": None,
    }  # fmt: skip
    assert row_of(tides, "height", 1)["height"]["value"] is None
    assert row_of(tides, "depth level") == {"depth": [None, 3.0], "level": 0.95}
    assert finite({"a": [float("inf"), {"b": nan}], "c": "x"}) == {
        "a": [None, {"b": None}],
        "c": "x",
    }
