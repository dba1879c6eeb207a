"""Numbers of results as `summary.json` holds them."""

import math
from typing import Any

from torch import Tensor

from elicit.results import Estimate, Result


def finite(value: Any) -> Any:
    """The value with NaN and infinity replaced by None at any depth, since JSON has neither."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def row_of(result: Result, names: str, *at: int) -> dict[str, Any]:
    """Some fields of a result at one place, by name; an estimate with the ends of its interval."""
    row = {}
    for name in names.split():
        value = getattr(result, name)
        value = value[at[0] if isinstance(value, tuple) else at] if at else value
        if isinstance(value, Estimate):
            row[name] = value.to_json()
        else:
            row[name] = finite(value.tolist() if isinstance(value, Tensor) else value)
    return row
