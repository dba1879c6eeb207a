"""Difference of means between the two sides of a contrast, site by site."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.directions.contrast import PromptPairs, Sides, check_sites, read_at
from elicit.directions.errors import DirectionError
from elicit.directions.values import DirectionSet
from elicit.pair import Side, device_of, hugging_face_model, weights_digest
from elicit.results import Estimate, Provenance
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference, joint_estimate, linearised_mean

_SPLITS = 20
"""Random splits for the split-half reliability."""


@dataclass(frozen=True)
class Estimator:
    """How a direction is estimated from paired differences."""

    name: str
    """In words."""
    of: Callable[[Float[Tensor, "pair width"]], Float[Tensor, " width"]]
    """The direction; zeros if there is none."""


def diff_mean(
    side: Side,
    pairs: PromptPairs,
    *,
    sites: Sequence[Site],
    held_out: float = 0.3,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> DirectionSet:
    """Mean activation on positive minus negative prompts at one token, for each site.

    Args:
        side: The model that is read.
        pairs: Positive and negative prompts.
        sites: Sites of one width: residual streams and layer outputs, or single heads.
        held_out: Share of problems held out for the AUROC, in (0, 1).
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        DirectionError: The sides do not pair up, a position is outside a row or has different
            tokens in a pair, there are too few problems, or a difference has norm 0.
        SiteError: The model does not have a site.

    Source: Rimsky et al. 2023, arXiv:2312.06681 (CAA); Marks & Tegmark 2023, arXiv:2310.06824. The
        refusal of differing tokens, the split-half cosine and the held-out AUROC are ours.
    """
    return directions_by(
        Estimator("difference of means", mean_difference),
        side,
        pairs,
        sites=sites,
        held_out=held_out,
        inference=inference,
        execution=execution,
    )


def mean_difference(differences: Float[Tensor, "pair width"]) -> Float[Tensor, " width"]:
    """Mean of the paired differences."""
    return differences.mean(0)


def directions_by(
    estimator: Estimator,
    side: Side,
    pairs: PromptPairs,
    *,
    sites: Sequence[Site],
    held_out: float,
    inference: Inference,
    execution: Execution,
) -> DirectionSet:
    """Directions by one estimator, with their reliability and held-out AUROC; see `diff_mean`."""
    model, position = side.bridge, pairs.position
    check_sites(model, sites)
    sides = pairs.encode(side.alignment)
    order, fit = _split(sides, held_out, inference.seed)
    both = read_at(
        model,
        sides.positive + sides.negative,
        sites=sites,
        position=position,
        pad_id=side.alignment.pad_id,
        execution=execution,
    )
    states = both.unflatten(1, (2, -1))
    differences = states[:, 0] - states[:, 1]
    resid_norm = states[:, :, fit].norm(dim=-1).mean((1, 2))
    vector = torch.stack([estimator.of(d[fit]) for d in differences])
    dtype = next(model.parameters()).dtype
    _check_norms(vector, resid_norm, sites, torch.finfo(dtype).eps)
    halves = _half_cosines(differences[:, fit], order[fit], estimator.of, inference.seed)
    auroc = _auroc(states[:, :, ~fit], vector, order[~fit], inference)
    name = str(getattr(hugging_face_model(model).config, "name_or_path", ""))
    along = (differences[:, fit] @ vector[:, :, None])[..., 0] / vector.norm(dim=-1)[:, None]
    digest = weights_digest(model)
    return DirectionSet(
        provenance=Provenance(
            seed=inference.seed,
            dtype=str(dtype).removeprefix("torch."),
            device=str(device_of(model)),
            arguments={
                "question": estimator.name,
                "model": name,
                "model_digest": digest,
                "sites": [str(site) for site in sites],
                "position": position,
                "match_tokens": pairs.match_tokens,
                "held_out": held_out,
                "templated": pairs.templated,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={"contrast": sides.digest},
        ),
        how=estimator.name,
        model=name,
        model_digest=digest,
        position=f"token {position} of the prompt",
        site=tuple(map(str, sites)),
        layer=torch.tensor([site.layer for site in sites]),
        vector=vector.float(),
        norm=vector.norm(dim=-1),
        resid_norm=resid_norm,
        explained=along.square().sum(1) / differences[:, fit].square().sum((1, 2)),
        reliability=halves.mean(0),
        reliability_range=torch.stack([halves.amin(0), halves.amax(0)]),
        auroc=auroc,
        n_pairs=int(fit.sum()),
        n_held_out=len(set(order[~fit].tolist())),
        n_shifted=sides.n_shifted,
    )


def _split(
    sides: Sides, held_out: float, seed: int
) -> tuple[Int[Tensor, " pair"], Bool[Tensor, " pair"]]:
    """Index of each pair's problem, and which pairs the directions are fitted on."""
    names = list(dict.fromkeys(sides.problem))
    if not 0 < held_out < 1:
        raise DirectionError(
            f"held_out is {held_out}, but the share of problems that directions are evaluated on "
            "must lie between 0 and 1. Pass for example 0.3."
        )
    if (n_out := round(held_out * len(names))) < 2 or len(names) - n_out < 2:
        raise DirectionError(
            f"{n_out} of {len(names)} problems would be held out, but fitting and evaluating a "
            "direction need at least 2 problems each. Pass more problems, or another held_out."
        )
    out = set(np.random.default_rng(seed).permutation(len(names))[:n_out].tolist())
    order = torch.tensor([names.index(name) for name in sides.problem])
    return order, torch.tensor([index not in out for index in order.tolist()])


def _check_norms(
    vector: Float[Tensor, "site width"],
    resid_norm: Float[Tensor, " site"],
    sites: Sequence[Site],
    eps: float,
) -> None:
    """Refuse a difference of norm 0."""
    for site, length, size in zip(sites, vector.norm(dim=-1), resid_norm, strict=True):
        if length <= eps * size:
            raise DirectionError(
                f"the difference at {site} has norm {length:.3g} where activations have "
                f"{size:.3g}, which is norm 0 to rounding: the model does not separate the two "
                "sides there, and steering with it would look like a null result. Leave the site "
                "out, or pass prompts that differ before the token read."
            )


def _half_cosines(
    differences: Float[Tensor, "site pair width"],
    order: Int[Tensor, " pair"],
    estimate: Callable[[Float[Tensor, "pair width"]], Float[Tensor, " width"]],
    seed: int,
) -> Float[Tensor, "split site"]:
    """Cosine between the directions of two random halves of the problems."""
    problems = order.unique()
    rng = np.random.default_rng([seed, 1])
    result = []
    for _ in range(_SPLITS):
        half = problems[rng.permutation(len(problems))[: len(problems) // 2]]
        first = torch.isin(order, half)
        ends = [torch.stack([estimate(d[w]) for d in differences]) for w in (first, ~first)]
        result.append(torch.cosine_similarity(*ends, dim=-1))
    return torch.stack(result)


def _auroc(
    states: Float[Tensor, "site side pair width"],
    vector: Float[Tensor, "site width"],
    order: Int[Tensor, " pair"],
    inference: Inference,
) -> Estimate:
    """AUROC of held-out projections, with simultaneous intervals over sites."""
    projected = torch.einsum("sgpw,sw->sgp", states, vector)
    above = projected[:, 0, :, None] - projected[:, 1, None, :]
    wins = (above > 0).double() + 0.5 * (above == 0).double()
    value = wins.mean((1, 2))
    # DeLong's components: contribution of each pair's two prompts to the area, centred.
    parts = wins.mean(2) + wins.mean(1) - value[:, None]
    # Without any error there is no spread to resample, and a point would be overconfident.
    return joint_estimate(linearised_mean(parts, order), inference=inference, proportion=True)
