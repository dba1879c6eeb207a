"""Numbers of many runs side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Estimate, Result, ResultError, parse_json, read_file
from elicit.sweep._one import Done
from elicit.sweep.errors import SweepError
from elicit.sweep.study import Planned

MOST = 400
"""Numbers that are compared, at most; those that most runs have come first."""
_LARGEST = 64 * 2**20
_DEPTH = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Result):
    """Every number with an interval that the runs of a study report, by run.

    Intervals are those of each run, at its own level: none is widened for how many there are.
    """

    run: tuple[str, ...]
    """Folder of each finished run."""
    command: tuple[str, ...]
    """Its command."""
    finding: tuple[str, ...]
    """What its page says first."""
    verdict: tuple[str, ...]
    """Its verdict; empty where the command has none."""
    number: tuple[str, ...]
    """Place of each number in `summary.json`, dotted."""
    estimate: Annotated[Estimate, "run number"]
    """The numbers; NaN where a run has none."""
    level: Float[Tensor, " run"]
    """Coverage of each run's intervals."""
    n_failed: int
    """Runs of the study that failed."""

    @property
    def n_intervals(self) -> int:
        """Intervals in all."""
        return int((~self.estimate.low.isnan()).sum())

    @property
    def n_missed(self) -> float:
        """Intervals that miss their true value by chance, if each covers as it says."""
        each = (~self.estimate.low.isnan()).double().sum(1)
        return float((each * (1 - self.level)).sum())


def compare(runs: Sequence[Planned], *, failed: Sequence[Done] = ()) -> Comparison:
    """Gather the numbers of finished runs.

    Args:
        runs: Runs that have finished.
        failed: Runs that have not, which are counted.

    Raises:
        SweepError: There is no run, or a `summary.json` is missing or damaged.
    """
    if not runs:
        raise SweepError("no run has finished, so there is nothing to compare.")
    summaries = [_summary(run) for run in runs]
    rows = [dict(_numbers(summary)) for summary in summaries]
    order = list(dict.fromkeys(key for row in rows for key in row))
    often = {key: sum(key in row for row in rows) for key in order}
    kept = sorted(order, key=lambda key: -often[key])[:MOST]
    ends = torch.full((3, len(runs), len(kept)), torch.nan, dtype=torch.float64)
    for i, row in enumerate(rows):
        for j, key in enumerate(kept):
            if key in row:
                ends[:, i, j] = torch.tensor(row[key], dtype=torch.float64)
    return Comparison(
        run=tuple(run.name for run in runs),
        command=tuple(run.command for run in runs),
        finding=tuple(str(summary.get("sentence") or "") for summary in summaries),
        verdict=tuple(str(summary.get("verdict") or "") for summary in summaries),
        number=tuple(kept),
        estimate=Estimate.of(ends),
        level=torch.tensor([run.spec.level for run in runs], dtype=torch.float64),
        n_failed=len(failed),
    )


def _summary(run: Planned) -> Mapping[str, object]:
    path = run.spec.out / "summary.json"
    try:
        summary = parse_json(read_file(path, limit=_LARGEST))
    except (OSError, ValueError, ResultError) as error:
        why = " ".join(str(error).split())
        raise SweepError(
            f"{path} cannot be read ({why}), so its run cannot be compared. Run it again with "
            "fresh=True."
        ) from error
    if not isinstance(summary, dict):
        raise SweepError(f"{path} holds no mapping, so its run cannot be compared.")
    return summary


def _numbers(value: object, at: str = "", depth: int = 0) -> Iterator[tuple[str, list[float]]]:
    """Every number with an interval, by its place."""
    if depth > _DEPTH or not isinstance(value, dict):
        return
    ends = [value.get(name) for name in ("value", "low", "high")]
    if at and all(_is_number(end) for end in ends):
        yield at, [float(end) for end in ends]  # pyright: ignore[reportArgumentType]
        return
    for name, inner in value.items():
        yield from _numbers(inner, f"{at}.{name}" if at else str(name), depth + 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
