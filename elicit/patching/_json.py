"""Values of a result as JSON has them."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from elicit.results import Estimate, Result


def values_json(result: Result, *, without: Sequence[str]) -> dict[str, object]:
    """Every array and estimate of a result, and its axes, for a summary."""
    axes = {name.removesuffix(".value"): list(on) for name, on in result.axes().items()}
    names = [name for name in axes if hasattr(result, name) and name not in without]
    return {
        "values": {name: to_json(getattr(result, name)) for name in names},
        "value_axes": {name: axes[name] for name in names},
    }


def to_json(values: Tensor | Estimate) -> Any:
    """Nested lists, for an estimate one each for value, low and high; NaN becomes None."""
    if isinstance(values, Estimate):
        return values.to_json()
    if values.ndim:
        return [to_json(value) for value in values]
    value = values.item()
    return None if value != value else value
