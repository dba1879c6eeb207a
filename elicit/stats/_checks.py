"""What every interval and test asks of its numbers before it starts."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike


def column(values: ArrayLike, *, name: str) -> Float[np.ndarray, " row"]:
    """The values as float64, one per row, at least two, all finite."""
    return _checked(values, name=name, axes="(problem)", ndim=1)


def table(values: ArrayLike, *, name: str) -> Float[np.ndarray, "problem part"]:
    """The values as float64, one row per problem, at least two, all finite."""
    rows = _checked(values, name=name, axes="(problem, part)", ndim=2)
    if rows.shape[1] == 0:
        raise ValueError(
            f"{name} has {rows.shape[0]} problems and 0 parts, so there is nothing to estimate. "
            "Pass at least one column."
        )
    return rows


def paired(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two columns over the same problems, in the same order."""
    first, second = column(a, name="a"), column(b, name="b")
    same_length(first, second, names=("a", "b"))
    return first, second


def same_length(first: np.ndarray, second: np.ndarray, *, names: tuple[str, str]) -> None:
    """Refuse two columns that cannot be paired row by row."""
    if len(first) != len(second):
        raise ValueError(
            f"{names[0]} has {len(first)} rows and {names[1]} has {len(second)}, so they cannot be "
            "paired problem by problem. Pass one row each for the same problems, in the same order."
        )


def fraction(number: float, *, name: str) -> float:
    """A probability strictly between 0 and 1."""
    if not 0 < number < 1:
        raise ValueError(
            f"{name} is {number}, but it is a probability and must lie strictly between 0 and 1. "
            f"Pass for example {name}=0.95 for 95 %."
        )
    return float(number)


def resamples(number: int, *, least: int = 100) -> int:
    """Enough resamples for a quantile of them to mean anything."""
    if number < least:
        raise ValueError(
            f"n_resamples is {number}, fewer than {least}, so the tail of the resampled statistic "
            "would rest on no draws. Pass 2000 or more."
        )
    return int(number)


def _checked(values: ArrayLike, *, name: str, axes: str, ndim: int) -> np.ndarray:
    numbers = _as_float(values, name=name)
    if numbers.ndim != ndim:
        raise ValueError(
            f"{name} has shape {numbers.shape}, but its axes must be {axes}: the unit of the "
            f"statistics is the problem. Reshape or average to {ndim} axes."
        )
    if len(numbers) < 2:
        raise ValueError(
            f"{name} has {len(numbers)} rows, but at least 2 problems are needed: fewer have no "
            "spread, so nothing says how sure the mean is. Pass more problems."
        )
    bad = int(np.size(numbers) - np.count_nonzero(np.isfinite(numbers)))
    if bad:
        first = np.argwhere(~np.isfinite(numbers))[0].tolist()
        raise ValueError(
            f"{name} has {bad} values of {numbers.size} that are NaN or infinite, the first at "
            f"{first}, and one such value makes every mean meaningless. Find out why it is not a "
            "number, or leave that problem out of all columns."
        )
    return numbers


def _as_float(values: ArrayLike, *, name: str) -> np.ndarray:
    # A tensor may need a gradient, live on a GPU or be bfloat16; numpy refuses each of these.
    for step in ("detach", "cpu", "double"):
        values = getattr(values, step, lambda kept=values: kept)()
    try:
        numbers = np.asarray(values)
        if numbers.dtype.kind not in "biuf":
            raise TypeError(numbers.dtype)
        return numbers.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} does not read as an array of real numbers ({type(values).__name__}: {error}), "
            "so no mean can be taken. Pass numbers or booleans, as many in each row."
        ) from error
