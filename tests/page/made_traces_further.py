"""Results on shifted, sampled, crossed and resampled thoughts built by hand, for their page."""

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats import Inference
from elicit.traces import Anchors, Crossing, Metric, Reach, Receivers, Shifts
from elicit.traces.anchors import _METRICS as ANCHOR_METRICS
from elicit.traces.measures import measured
from elicit.traces.shifts import _METRICS as SHIFT_METRICS
from elicit.traces.shifts import DIRECTIONS, PARTS
from tests.page.made import provenance

FEW = Inference(n_resamples=100)
N = 6
K = (1, 2, 4, 8)


def known(value: Tensor, width: float = 0.05) -> Estimate:
    """Numbers with intervals of one width."""
    value = value.double()
    return Estimate(value=value, low=value - width, high=value + width)


def shifts(*, fork_text: tuple[str, ...] = ("so", "so", "7"), at: int = 0) -> Shifts:
    """A third of the tokens of given thoughts moved; 1 % of them hold most of KL(base‖post)."""
    shape = (len(SHIFT_METRICS), len(PARTS), 1)
    value = torch.full(shape, 0.5)
    names = [metric.name for metric in SHIFT_METRICS]
    value[names.index("shifted")] = 0.25
    value[names.index("KL(base‖post)")], value[names.index("KL(post‖base)")] = 9.0, 1.0
    first = [i for i, name in enumerate(names) if "first" in name or name == "prompt loss"]
    value[first, 1:] = torch.nan
    percent = torch.arange(101)
    steep = (percent.double() / 100).pow(0.1)
    lorenz = torch.stack([steep, percent.double() / 100])[:, None, None].expand(2, 3, 1, 101)
    return Shifts(
        provenance=provenance(),
        source=("given",),
        part=PARTS,
        metric=tuple(names),
        unit=tuple(metric.unit for metric in SHIFT_METRICS),
        meaning=tuple(metric.meaning for metric in SHIFT_METRICS),
        estimate=known(value),
        chance=torch.full((3, 1), 0.2),
        cutoff=torch.full((3, 1), 0.31),
        direction=DIRECTIONS,
        lorenz=lorenz.contiguous(),
        lorenz_entropy=(lorenz / 2).contiguous(),
        percent=percent,
        n_tokens=torch.tensor([[24], [23], [22]]),
        n_infinite=torch.tensor([2]),
        fork_source=("given",) * len(fork_text),
        fork_problem=("p0", "p1", "p0")[: len(fork_text)],
        fork_at=torch.tensor([at, 0, 9][: len(fork_text)]),
        fork_text=fork_text,
        fork_jsd=torch.tensor([0.5, 0.3, 0.2][: len(fork_text)]),
        fork_entropy=torch.tensor([0.6, 0.4, 0.01][: len(fork_text)]),
        fork_rank=torch.tensor([1, 0, 0][: len(fork_text)]),
    )


def reach(
    crossover: tuple[float, float, float] = (math.inf, math.inf, math.inf),
    *,
    n_solved: int = 20,
    checked: bool = True,
) -> Reach:
    """Base passes less than post, and chance almost as much as base."""
    base, post = torch.tensor([0.2, 0.3, 0.5, 0.7]), torch.tensor([0.8, 0.9, 1.0, 1.0])
    chance = torch.tensor([0.1, 0.2, 0.35, 0.6])
    passed = torch.stack([base, post])
    verified = known(passed / 2) if checked else known(torch.full((2, 4), torch.nan))
    return Reach(
        provenance=provenance(),
        reading=("base", "post"),
        k=torch.tensor(K),
        passed=known(passed),
        floor=known(torch.stack([chance, chance])),
        above=known(passed - chance),
        verified=verified,
        valid=known(torch.tensor([0.4, 0.9])),
        coverage=known(base),
        coverage_above=known(base - chance),
        p=0.04,
        n_solved=n_solved,
        crossover=Estimate.of(torch.tensor(crossover).double()),
        n_samples=8,
        n_left_out=0,
        level=0.95,
    )


def crossing(host: str = "base", *, taken: str = "so") -> Crossing:
    """One token where models differ carries everything; at random places it does little."""
    donor = "post" if host == "base" else "base"
    accuracy = torch.tensor([[1.0, 0.9], [0.4, 0.4], [0.3, 0.3]])
    used = torch.tensor([[1.0, 1.2], [0.5, 0.5], [0.7, 0.8]])
    return Crossing(
        provenance=provenance(),
        host=host,
        donor=donor,
        rule=("jsd ≥ 0.1", "random", "entropy ≥ 0.3, from token 1 on"),
        budget=torch.tensor([1.0, 3.0]),
        problem=tuple(f"p{i}" for i in range(N)),
        writer=(host, donor),
        alone=known(torch.tensor([0.3, 1.0])),
        alone_correct=torch.ones(2, N, dtype=torch.bool),
        accuracy=known(accuracy),
        change=known(accuracy - 0.3, 0.1),
        p=torch.full((3, 2), 0.01, dtype=torch.float64),
        used=known(used),
        correct=torch.ones(3, 2, N, dtype=torch.bool),
        n_used=torch.ones(3, 2, N, dtype=torch.long),
        taken_problem=("p0", "p1", "p2"),
        taken_at=torch.tensor([0, 0, 4]),
        taken_text=(taken, taken, "7"),
        replaced_text=("answer", "answer", "8"),
    )


@cache
def anchors(text: str = "so a = 2 ;") -> Anchors:
    """Two steps a thought on six problems; in base the first stands out, more so in later ones."""
    metrics: tuple[Metric, ...] = ANCHOR_METRICS
    table = {m.name: torch.linspace(0.1, 0.3, 2 * N).double().view(2, N) for m in metrics}
    fields: dict[str, Any] = measured(
        metrics,
        table,
        problem=tuple(f"p{i}" for i in range(N)),
        inference=FEW,
        provenance=provenance(),
    )
    n = 2 * 2 * N
    resampling = torch.full((2, N, 2), 0.2, dtype=torch.float64)
    resampling[0, :, 0] = torch.linspace(0.3, 0.9, N).double()
    suppression = torch.full((2, N, 2), 1.5, dtype=torch.float64)
    suppression[..., 1] = torch.nan
    fine = torch.full((n,), 0.15, dtype=torch.float64)
    return Anchors(
        **fields,
        step_reading=("base",) * (2 * N) + ("post",) * (2 * N),
        step_problem=tuple(f"p{i}" for i in range(N) for _ in range(2)) * 2,
        step_number=torch.tensor([0, 1] * (2 * N)),
        step_text=(text,) * n,
        resampling=resampling.flatten(),
        resampling_floor=fine,
        entropy_before=fine,
        no_answer=fine,
        differing=torch.full_like(fine, torch.nan),
        forced=fine,
        suppression=suppression.flatten(),
        effect_reading=("base",),
        effect_problem=("p0",),
        effect_of=torch.tensor([0]),
        effect_on=torch.tensor([1]),
        effect=torch.tensor([1.5], dtype=torch.float64),
        pairing=("resampling, entropy_before", "resampling, forced"),
        correlation=known(torch.tensor([[0.9, 0.8], [-0.5, torch.nan]])),
        n_samples=8,
    )


def receivers() -> Receivers:
    """One head of six stands out in base, none in post."""
    above = torch.zeros(2, 2, 3)
    above[0, 1, 2] = 0.4
    return Receivers(
        provenance=provenance(),
        reading=("base", "post"),
        layer=torch.arange(2),
        head=torch.arange(3),
        concentration=known(above + 0.3),
        by_recency=torch.full((2, 2, 3), 0.3),
        above_recency=known(above),
        within_one=torch.full((2, 2, 3), 0.5),
        n_texts=torch.tensor([9, 8]),
        gap=1,
    )


def everything() -> list[Result]:
    """All of them."""
    return [shifts(), reach(), crossing("base"), crossing("post"), anchors(), receivers()]
