"""Model stitching: one model's upper layers on the other's lower ones, through simple maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import check_rows
from elicit.pair import ModelPair
from elicit.representations.errors import RepresentationError
from elicit.representations.labels import numbered
from elicit.representations.linear_maps import MAPS, Affine, choose_penalty, maps_of, swapped
from elicit.representations.paired_activations import PairedTokens
from elicit.representations.places import sites_of
from elicit.representations.stitched_forward import errors_of, run_stitched
from elicit.results import Estimate, Result, digest_json
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference, joint_estimate, linearised_ratio

DIRECTIONS = ("base_to_post", "post_to_base")
PENALTIES = (1e-8, 1e-6, 1e-4, 1e-2, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Stitching(Result):
    """Loss of stitched models, through maps of growing freedom."""

    direction: tuple[str, ...]
    """`base_to_post`: base's layers up to the site, a map, then post's layers."""
    map: tuple[str, ...]
    """`identity`, `shift` of the mean, `orthogonal` with shift, `affine` (ridge); controls: the
    `mean` alone, which carries no information, and a `random` rotation."""
    site: tuple[str, ...]
    """Site of the map."""
    fvu: Annotated[Estimate, "direction map site"]
    """Fraction of variance unexplained by the map on test tokens."""
    ce: Float[Tensor, "direction map site"]
    """Next-token cross-entropy of the stitched model, nats."""
    excess: Annotated[Estimate, "direction map site"]
    """Cross-entropy above that of the model whose upper layers are used, nats."""
    own_ce: Annotated[Estimate, " direction"]
    """Cross-entropy of the model whose upper layers are used, nats."""
    lower_ce: Float[Tensor, " direction"]
    """Cross-entropy of the model whose lower layers are used, nats."""
    l2: Float[Tensor, "direction site"]
    """Penalty of the affine map, as a share of the mean variance per dimension."""
    n_fit: int
    """Tokens fitted on."""
    n_test: int
    """Tokens tested on."""
    n_problems: int
    """Number of test problems, the unit of every interval."""
    level: float
    """Nominal coverage of the intervals."""


def stitch(
    pair: ModelPair,
    fit_rows: Sequence[Sequence[int]],
    test_rows: Sequence[Sequence[int]],
    *,
    problems: Sequence[str] | None = None,
    sites: Sequence[Site | str] | None = None,
    l2: float | None = None,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Stitching:
    """Cross-entropy of stitched models, and unexplained variance of their maps.

    Maps are fitted from d_model × d_model sums in float64. The first token of each row, which has
    no context and often an outlying norm, keeps the upper model's activation; it is neither fitted
    nor counted.

    Args:
        pair: The two models.
        fit_rows: Token ids of the texts that maps are fitted on; a fifth first validates the
            penalty.
        test_rows: Token ids of other texts.
        problems: Problem of each test row; None: every row is its own.
        sites: Residual streams or short names; None: the embedding and the output of every layer.
        l2: Penalty of the affine map, as a share of the mean variance per dimension; None: chosen.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        SiteError: A model does not have a site.
        CaptureError: There are no rows, or a model cannot read one.
        RepresentationError: A row is in both splits, a site is not in the residual stream, rows are
            too few, or an activation is not finite.

    Source: Bansal et al. 2021, arXiv:2106.07682, with closed-form maps in place of trained ones.
    """
    named = sites_of(pair, sites)
    problem = tuple(map(str, range(len(test_rows)))) if problems is None else tuple(problems)
    _check(named, fit_rows, test_rows, problem, l2)
    options: dict[str, Any] = {"sites": named, "max_tokens": execution.max_tokens}
    progress = execution.progress
    every = range(len(fit_rows))
    halves = [
        [fit_rows[i] for i in every if (i % 5 == 4) == left_out] for left_out in (False, True)
    ]
    parts = [
        PairedTokens(pair, half, execution=Execution(progress=progress), **options).moments()
        for half in halves
    ]
    maps: list[list[dict[str, Affine]]] = []
    chosen = torch.zeros(len(DIRECTIONS), len(named), dtype=torch.float64)
    for way, turn in enumerate((lambda m: m, swapped)):
        maps.append([])
        for site, (fit, left_out) in enumerate(zip(*parts, strict=True)):
            fit, left_out = turn(fit), turn(left_out)
            best = choose_penalty(fit, left_out, PENALTIES) if l2 is None else l2
            chosen[way, site] = best
            maps[way].append(maps_of(fit.merge(left_out), l2=best, seed=inference.seed))
    test = PairedTokens(pair, test_rows, execution=Execution(progress=progress), **options)
    errors = errors_of(test, test.moments(), maps, len(test_rows))
    models = (pair.base, pair.post)
    run = [
        run_stitched(
            models[way],
            models[1 - way],
            test_rows,
            named,
            maps[way],
            pad_id=pair.alignment.pad_id,
            execution=Execution(max_tokens=execution.max_tokens, progress=progress),
        )
        for way in range(2)
    ]
    group = numbered(problem)
    counts = torch.tensor([len(row) - 2 for row in test_rows], dtype=torch.float64)

    def estimate(above: Float[Tensor, "row ..."], below: Float[Tensor, "row ..."]) -> Estimate:
        return joint_estimate(linearised_ratio(above, below, group), inference=inference)

    per_token = counts[:, None, None]
    own = Estimate.stack([estimate(each.own, per_token)[0, 0] for each in run])
    excess = Estimate.stack([estimate(each.stitched - each.own, per_token) for each in run])
    return Stitching(
        direction=DIRECTIONS,
        map=MAPS,
        site=tuple(map(str, named)),
        fvu=Estimate.stack(
            [estimate(errors.missed[way], errors.variance[way]) for way in range(2)]
        ),
        ce=own.value[:, None, None] + excess.value,
        excess=excess,
        own_ce=own,
        lower_ce=own.value.flip(0),
        l2=chosen,
        n_fit=parts[0][0].n + parts[1][0].n,
        n_test=test.n,
        n_problems=len(group.unique()),
        level=inference.level,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "representations.stitch",
                "sites": list(map(str, named)),
                "l2": l2,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={
                "fit_rows": digest_json([list(row) for row in fit_rows]),
                "test_rows": digest_json([[list(row) for row in test_rows], list(problem)]),
            },
        ),
    )


def _check(
    sites: Sequence[Site],
    fit_rows: Sequence[Sequence[int]],
    test_rows: Sequence[Sequence[int]],
    problem: Sequence[str],
    l2: float | None,
) -> None:
    """Refuse invalid inputs before any model runs."""
    check_rows(fit_rows)
    check_rows(test_rows)
    for site in sites:
        if site.kind not in ("resid_pre", "resid_post"):
            raise RepresentationError(
                f"{site} is not the residual stream between layers, so models cannot be stitched "
                "there. Pass resid_pre or resid_post."
            )
    common = set(map(tuple, fit_rows)) & set(map(tuple, test_rows))
    if common:
        raise RepresentationError(
            f"{len(common)} rows are in both fit_rows and test_rows, so maps would be tested on "
            "their fit data. Pass different texts."
        )
    if len(problem) != len(test_rows) or len(set(problem)) < 2 or len(fit_rows) < 5:
        raise RepresentationError(
            f"there are {len(fit_rows)} rows to fit on, and {len(test_rows)} rows of "
            f"{len(set(problem))} problems ({len(problem)} given) to test on; at least 5 fit "
            "rows and 2 test problems, with one entry per row, are needed. Pass more texts."
        )
    short = next((len(row) for row in test_rows if len(row) < 3), None)
    if short is not None:
        raise RepresentationError(
            f"a test row has {short} tokens, so no token follows a mapped one. Pass rows of "
            "three tokens or more."
        )
    if l2 is not None and not 0 < l2 < float("inf"):
        raise RepresentationError(
            f"l2 is {l2}, but must be finite and above 0. Pass for example 1e-4, or None."
        )
