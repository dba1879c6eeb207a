"""Numbers of one value a problem, of both models, with intervals and their paired difference."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Provenance, Result
from elicit.stats import Inference, paired_difference, paired_permutation, problem_mean
from elicit.traces.errors import TraceError
from elicit.traces.reading import Curve, Reading, Readings


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number that every problem has."""

    name: str
    """As tables and pages call it."""
    unit: str
    """`share`, `bits`, `tokens`, `nats`, ..."""
    meaning: str
    """What a large value says, in one sentence."""
    proportion: bool = False
    """Whether a problem's value is a share, from 0 to 1."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Measures(Result):
    """Metrics of both models on the same problems."""

    metric: tuple[str, ...]
    """Names."""
    unit: tuple[str, ...]
    """Unit of each."""
    meaning: tuple[str, ...]
    """What a large value says."""
    reading: tuple[str, ...]
    """Whose reading: `base`, `post`."""
    problem: tuple[str, ...]
    """Problems, the unit of every interval."""
    by_problem: Float[Tensor, "metric reading problem"]
    """Value of every problem; NaN where it has none."""
    estimate: Annotated[Estimate, "metric reading"]
    """Mean over the problems that have a value; intervals of each number alone."""
    median: Float[Tensor, "metric reading"]
    """Median over these problems."""
    difference: Annotated[Estimate, "metric"]
    """Post minus base over the problems that have both, paired."""
    p: Float[Tensor, " metric"]
    """Two-sided p-value of the difference, by swapping models within problems, not adjusted."""
    n: Int[Tensor, "metric reading"]
    """Problems that have a value."""
    is_proportion: Bool[Tensor, " metric"]
    """Whether a problem's value is a share, from 0 to 1."""

    def of(self, metric: str) -> Float[Tensor, "reading problem"]:
        """Values of every problem of one metric.

        Args:
            metric: Its name.
        """
        return self.by_problem[self.metric.index(metric)]


def measured(
    metrics: Sequence[Metric],
    values: Mapping[str, Float[Tensor, "reading problem"]],
    *,
    problem: Sequence[str],
    inference: Inference,
    provenance: Provenance | None,
) -> dict[str, object]:
    """Fields of `Measures` from the values of every problem.

    Args:
        metrics: What is measured.
        values: Values by the metric's name, base first.
        problem: Ids of the problems.
        inference: Coverage, resamples and seed.
        provenance: Where the values come from.
    """
    table = torch.stack([values[metric.name].double() for metric in metrics])
    estimates, differences, p = [], [], []
    for metric, rows in zip(metrics, table, strict=True):
        estimates.append(
            Estimate.of_intervals(
                problem_mean(
                    row, inference=inference, proportion=metric.proportion, method=_method(metric)
                )
                for row in rows
            )
        )
        apart = paired_difference(
            rows[1], rows[0], inference=inference, proportion=metric.proportion
        )
        differences.append(apart)
        both = ~(rows[0].isnan() | rows[1].isnan())
        p.append(
            paired_permutation(
                rows[1][both], rows[0][both], n_resamples=inference.n_resamples,
                seed=inference.seed,
            ).p
            if int(both.sum()) >= 2
            else float("nan")
        )  # fmt: skip
    return {
        "metric": tuple(metric.name for metric in metrics),
        "unit": tuple(metric.unit for metric in metrics),
        "meaning": tuple(metric.meaning for metric in metrics),
        "reading": ("base", "post"),
        "problem": tuple(problem),
        "by_problem": table,
        "estimate": Estimate.stack(estimates),
        "median": torch.nanquantile(table, 0.5, dim=-1),
        "difference": Estimate.of_intervals(differences),
        "p": torch.tensor(p, dtype=torch.float64),
        "n": (~table.isnan()).sum(-1),
        "is_proportion": torch.tensor([metric.proportion for metric in metrics]),
        "provenance": provenance,
    }


def narrowed(
    found: Measures, problems: Collection[str], *, inference: Inference
) -> dict[str, object]:
    """Fields of `Measures` over some of the problems, from values that are there already.

    Args:
        found: Values of all problems.
        problems: Ids of those that stay.
        inference: Coverage, resamples and seed.

    Raises:
        TraceError: None of them is there.
    """
    kept = [i for i, name in enumerate(found.problem) if name in set(problems)]
    if not kept:
        raise TraceError(
            f"none of the {len(problems)} problems is among the {len(found.problem)} that were "
            "measured, so nothing would be left. Pass ids from .problem."
        )
    rows = zip(found.metric, found.unit, found.meaning, found.is_proportion.tolist(), strict=True)
    metrics = [
        Metric(name=name, unit=unit, meaning=meaning, proportion=proportion)
        for name, unit, meaning, proportion in rows
    ]
    return measured(
        metrics,
        dict(zip(found.metric, found.by_problem[..., kept], strict=True)),
        problem=[found.problem[i] for i in kept],
        inference=inference,
        provenance=found.provenance,
    )


def _method(metric: Metric):
    return "bca" if metric.proportion or metric.unit == "share" else "t"


def measured_along(
    pair: ModelPair,
    readings: Readings,
    metrics: Sequence[Metric],
    of_thought: Callable[[Reading, Curve], Mapping[str, float]],
    *,
    question: Mapping[str, object],
    inference: Inference,
) -> dict[str, object]:
    """Fields of `Measures` from what forced answers along each thought say.

    Args:
        pair: The two models, for the provenance.
        readings: Base's reading and post's.
        metrics: What is measured.
        of_thought: Value of every metric for one thought.
        question: The question and its arguments, for the provenance.
        inference: Coverage, resamples and seed.
    """
    values: dict[str, dict[str, list[float]]] = {m.name: defaultdict(list) for m in metrics}
    for reading in readings.both:
        for curve in reading.curves():
            for name, value in of_thought(reading, curve).items():
                values[name][reading.model].append(value)
    return measured(
        metrics,
        readings.tabled(values),
        problem=readings.problem,
        inference=inference,
        provenance=pair.provenance(
            inference.seed,
            {**question, "level": inference.level},
            task_digests=readings.digests,
        ),
    )
