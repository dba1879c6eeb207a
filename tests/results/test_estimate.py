"""An estimate is one field: three arrays on the axes that its annotation names."""

import json
from dataclasses import dataclass
from typing import Annotated

import pyarrow.parquet
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Estimate, Result, ResultError, load_result
from elicit.stats import wilson


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured(Result):
    """Effects of parts on tasks."""

    task: tuple[str, ...]
    """Tasks."""
    effect: Annotated[Estimate, "task part"]
    """Effect of a part."""
    gap: Annotated[Estimate, " task"] | None = None
    """Gap between the models."""
    total: Annotated[Estimate, ""] | None = None
    """Effect of everything."""
    layer: Float[Tensor, " part"]
    """Layer of a part."""


def measured(**fields) -> Measured:
    effect = Estimate.of(torch.arange(18, dtype=torch.float64).reshape(3, 2, 3) - 4)
    return Measured(task=("a", "b"), effect=effect, layer=torch.arange(3.0), **fields)


def test_its_columns_are_value_and_ends_over_its_own_axes():
    frame = measured().to_frame()
    assert list(frame.columns) == [
        "task", "part", "effect", "effect_low", "effect_high", "layer",
    ]  # fmt: skip
    row = frame[(frame.task == "b") & (frame.layer == 1)].iloc[0]
    assert (row.effect, row.effect_low, row.effect_high) == (0, 6, 12)


def test_it_is_read_back_as_it_was_written(tmp_path):
    result = measured(
        gap=Estimate.of_intervals([wilson(1, 4), wilson(4, 4)]), total=Estimate.missing()
    )
    again = load_result(result.save(tmp_path / "r"))
    for name in ("effect", "gap", "total"):
        for end in ("value", "low", "high"):
            torch.testing.assert_close(
                getattr(getattr(again, name), end),
                getattr(getattr(result, name), end),
                rtol=0,
                atol=0,
                equal_nan=True,
            )
    schema = pyarrow.parquet.read_schema(tmp_path / "r" / "table.parquet")
    assert b"Lower end" in schema.field("effect_low").metadata[b"description"]
    assert json.loads((tmp_path / "r" / "result.json").read_text())["schema"]["effect"]


def test_an_estimate_on_other_axes_than_its_field_is_refused():
    with pytest.raises(ResultError, match="part"):
        Measured(task=("a",), effect=Estimate.missing(1, 2), layer=torch.zeros(3))
    with pytest.raises(ResultError, match="shape"):
        Estimate(value=torch.zeros(2), low=torch.zeros(3), high=torch.zeros(2))


def test_an_annotation_without_axes_is_refused():
    @dataclass(frozen=True, eq=False, kw_only=True)
    class Unnamed(Result):
        effect: Estimate

    with pytest.raises(ResultError, match="without axes"):
        Unnamed(effect=Estimate.missing(2))


def test_it_is_clear_where_its_interval_excludes_0_and_never_where_it_is_missing():
    estimate = Estimate.of(
        torch.tensor(
            [
                [1.0, 1.0, -1.0, torch.nan, -1.0],
                [0.5, 0.0, -2.0, torch.nan, -2.0],
                [2.0, 2.0, -0.5, torch.nan, 0.0],
            ]
        )
    )
    assert estimate.clear.tolist() == [True, False, True, False, False]
    assert estimate[2].ends == (-1.0, -2.0, -0.5)
    assert estimate[3].to_json() == {"value": None, "low": None, "high": None}


def test_its_repr_names_it_once():
    assert repr(measured()).count("effect") == 1
