"""Representational similarity of both models by layer: CKA, Procrustes and distance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import CrossMoments, check_rows
from elicit.pair import ModelPair
from elicit.representations.errors import RepresentationError
from elicit.representations.geometry import NAMES, Alike, Fourth, squared_norms, summed
from elicit.representations.labels import numbered
from elicit.representations.paired_activations import OUTLIER, PairedTokens
from elicit.representations.places import sites_of
from elicit.results import Estimate, Result, digest_json
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference, joint_estimate


@dataclass(frozen=True, eq=False, kw_only=True)
class Similarity(Result):
    """Representational similarity of base and post on the same tokens at each site."""

    measure: tuple[str, ...]
    """`cka` and `cka_debiased` (unbiased HSIC): 1 equal up to rotation and scale, 0 unrelated.
    Squared distances in units of the mean variance of the two, 0 equal and 2 unrelated:
    `procrustes` centred and optimally rotated, `distance` raw, `distance_centred` centred.
    `mean_shift`: distance of the means, not squared, in units of the root of that variance.
    `distance` = `distance_centred` + `mean_shift`²."""
    site: tuple[str, ...]
    """Site compared."""
    value: Annotated[Estimate, "measure site"]
    """Value of the measure, with intervals simultaneous over its sites."""
    null: Float[Tensor, "draw measure site"]
    """Control: the same with base's tokens randomly paired with tokens of post."""
    n_tokens: int
    """Tokens compared."""
    n_first: int
    """First tokens of rows, excluded."""
    n_outliers: int
    """Other tokens excluded because their norm exceeds ten times the median at some site."""
    n_problems: int
    """Problems, the unit of every interval."""
    level: float
    """Nominal coverage of the intervals."""

    def of(self, measure: str) -> Estimate:
        """One measure at every site.

        Raises:
            RepresentationError: The measure is unknown.
        """
        if measure not in self.measure:
            raise RepresentationError(
                f"{measure!r} was not measured. Pass one of {', '.join(self.measure)}."
            )
        return self.value[self.measure.index(measure)]


def similarity(
    pair: ModelPair,
    rows: Sequence[Sequence[int]],
    *,
    problems: Sequence[str] | None = None,
    sites: Sequence[Site | str] | None = None,
    n_draws: int = 3,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Similarity:
    """Representational similarity of both models on the same tokens, site by site.

    Two passes over the tokens: the first gives means and scatters, the second the influence of each
    token on every measure, summed by problem, and the fourth-order sum of the unbiased HSIC.
    Memory is that of d_model × d_model matrices. Up to 1 GiB of activations is kept between passes;
    beyond that both models run again for each pass.

    Args:
        pair: The two models.
        rows: Token ids of each text, fed to both.
        problems: Problem of each row; None: every row is its own.
        sites: Sites or short names; None: the embedding and the output of every layer.
        n_draws: Random pairings for the control, at least 1.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        SiteError: A model does not have a site.
        CaptureError: There are no rows, or a model cannot read one.
        RepresentationError: There are fewer than two problems, an activation is not finite, a site
            does not vary, or an option is out of range.

    Source: Kornblith et al. 2019 (CKA); Song et al. 2012 (unbiased HSIC); Schönemann 1966
        (Procrustes). Intervals resample influence values (infinitesimal jackknife) by problem.
    """
    check_rows(rows)
    named = sites_of(pair, sites)
    problem = tuple(map(str, range(len(rows)))) if problems is None else tuple(problems)
    _check(problem, len(rows), n_draws)
    tokens = PairedTokens(pair, rows, sites=named, execution=execution)
    moments = tokens.moments()
    _check_varies(moments, named)
    alike, null = _second_pass(tokens, moments, n_draws=n_draws, seed=inference.seed)
    values = torch.stack([one.values for one in alike], dim=1)
    parts = torch.zeros(len(rows), len(NAMES), len(named), dtype=torch.float64)
    for result in tokens:
        for site, (one, x, y) in enumerate(zip(alike, result.x, result.y, strict=True)):
            parts[:, :, site] += summed(one.parts(x, y), result.row, len(rows))
    group = numbered(problem)
    n = int(group.max()) + 1
    by_group = torch.zeros(n, *parts.shape[1:], dtype=torch.float64).index_add_(0, group, parts)
    told = values + n * (by_group - by_group.mean(dim=0))
    ends = [joint_estimate(told[:, index], inference=inference) for index in range(len(NAMES))]
    return Similarity(
        measure=NAMES,
        site=tuple(map(str, named)),
        value=Estimate(
            value=values,
            low=torch.stack([one.low for one in ends]),
            high=torch.stack([one.high for one in ends]),
        ),
        null=null,
        n_tokens=tokens.n,
        n_first=len(rows),
        n_outliers=tokens.n_outliers,
        n_problems=n,
        level=inference.level,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "representations.similarity",
                "sites": list(map(str, named)),
                "n_draws": n_draws,
                "outlier": OUTLIER,
                "max_tokens": execution.max_tokens,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={"rows": digest_json([[list(row) for row in rows], list(problem)])},
        ),
    )


def _check(problem: Sequence[str], n_rows: int, n_draws: int) -> None:
    """Refuse invalid inputs before any model runs."""
    if len(problem) != n_rows:
        raise RepresentationError(
            f"there are {n_rows} rows and {len(problem)} problems, which cannot be matched. "
            "Pass the problem of each row, or leave problems out."
        )
    if len(set(problem)) < 2:
        raise RepresentationError(
            f"all {n_rows} rows are of one problem, so there is no interval. Pass rows of at least "
            "two problems."
        )
    if n_draws < 1:
        raise RepresentationError(
            f"n_draws is {n_draws}, but similarity is only reported beside that of randomly paired "
            "tokens. Pass 1 or more."
        )


def _check_varies(moments: Sequence[CrossMoments], sites: Sequence[Site]) -> None:
    """Refuse sites without variance."""
    for one, site in zip(moments, sites, strict=True):
        for name, side in (("base", one.x), ("post", one.y)):
            if one.n < 4 or not float(side.scatter.trace()) > 0:
                raise RepresentationError(
                    f"the {one.n} tokens compared do not vary at {site} in {name}, or are fewer "
                    "than 4, so a similarity would be 0 / 0. Pass more varied rows, or leave that "
                    "site out."
                )


def _second_pass(
    tokens: PairedTokens, moments: Sequence[CrossMoments], *, n_draws: int, seed: int
) -> tuple[list[Alike], Float[Tensor, "draw measure site"]]:
    """Fourth-order sums of the tokens and of random pairings."""
    n_sites = len(moments)
    sums = torch.zeros(n_draws + 1, n_sites, 3, dtype=torch.float64)
    width = len(moments[0].x.mean)
    drawn = [[CrossMoments(width, width) for _ in range(n_sites)] for _ in range(n_draws)]
    generator = torch.Generator().manual_seed(seed)
    for result in tokens:
        orders = [torch.randperm(len(result.row), generator=generator) for _ in range(n_draws)]
        for site, (x, y) in enumerate(zip(result.x, result.y, strict=True)):
            sums[0, site] += squared_norms(x, y, moments[site])
            for draw, order in enumerate(orders):
                drawn[draw][site].update(x, y[order])
                sums[draw + 1, site] += squared_norms(x, y[order], moments[site])
    every = [
        [Alike(one, Fourth(xx=s[0], yy=s[1], xy=s[2])) for one, s in zip(subset, part, strict=True)]
        for subset, part in zip([list(moments), *drawn], sums, strict=True)
    ]
    null = [torch.stack([one.values for one in subset], dim=1) for subset in every[1:]]
    return every[0], torch.stack(null)
