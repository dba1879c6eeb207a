"""Difference of means: what two sides of a contrast differ by on average, site by site."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.directions.errors import DirectionError
from elicit.directions.sides import Sides, check_sites, paired_sides, read_at
from elicit.directions.values import DirectionSet
from elicit.pair import Alignment, Text, hugging_face_model, weights_digest
from elicit.results import Provenance
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference, simultaneous_intervals, wilson
from elicit.tasks import Task

Estimator = Callable[[Float[Tensor, "pair width"]], Float[Tensor, " width"]]
"""A direction from the differences of pairs; zeros where there is none."""
_SPLITS = 20
"""Random halves for the reliability."""


def diff_mean(
    model: nn.Module,
    alignment: Alignment,
    positive: Task | Sequence[Text],
    negative: Task | Sequence[Text],
    *,
    at: Sequence[Site],
    position: int = -1,
    problem: Sequence[str] | None = None,
    match_tokens: bool = True,
    held_out: float = 0.3,
    templated: bool = False,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> DirectionSet:
    """Mean activation on positive minus negative prompts at one token, at each of several sites.

    The token must be the same on both sides of a pair: between tokens of other classes, or at other
    places, the mean difference is mostly that of the tokens, and steering by it does harm.

    Args:
        model: A bridge in raw mode.
        alignment: How prompts become ids.
        positive: Prompts with what the direction stands for.
        negative: The same ones without it, row by row; tasks must hold the same problems.
        at: Sites of one width: residual streams and what is added to them, or single heads.
        position: Token that is read, from 0, or below 0 from the end.
        problem: Problem of each pair, where several pairs are about one; None takes the ids of
            tasks, else each pair is its own.
        match_tokens: Whether both prompts of a pair must have the same token there.
        held_out: Share of the problems that no direction is found on, for the AUROC, in (0, 1).
        templated: Whether prompts go through the chat template.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        DirectionError: The sides are no contrast, a position is outside of a row or has another
            token on either side, there are too few problems, or a difference has norm 0.
        SiteError: The model does not have a site.

    Source: Rimsky et al. 2023, arXiv:2312.06681 (CAA); Marks & Tegmark 2023, arXiv:2310.06824. The
        refusal of differing tokens, the split-half cosine and the held-out AUROC are ours.
    """
    return found_directions(
        model,
        alignment,
        positive,
        negative,
        estimator=mean_difference,
        how="difference of means",
        at=at,
        position=position,
        problem=problem,
        match_tokens=match_tokens,
        held_out=held_out,
        templated=templated,
        inference=inference,
        execution=execution,
    )


def mean_difference(differences: Float[Tensor, "pair width"]) -> Float[Tensor, " width"]:
    """Mean of the pairs' differences, which is the difference of the sides' means.

    Args:
        differences: Positive minus negative activation of each pair.
    """
    return differences.mean(0)


def found_directions(
    model: nn.Module,
    alignment: Alignment,
    positive: Task | Sequence[Text],
    negative: Task | Sequence[Text],
    *,
    estimator: Estimator,
    how: str,
    at: Sequence[Site],
    position: int,
    problem: Sequence[str] | None,
    match_tokens: bool,
    held_out: float,
    templated: bool,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> DirectionSet:
    """Directions by one estimator, with their reliability and held-out AUROC; see `diff_mean`.

    Args:
        model: A bridge in raw mode.
        alignment: How prompts become ids.
        positive: Prompts with what it stands for.
        negative: The same ones without it.
        estimator: Makes a direction of the pairs' differences.
        how: Name of the estimator.
        at: Sites of one width.
        position: Token that is read.
        problem: Problem of each pair.
        match_tokens: Whether both prompts of a pair must have the same token there.
        held_out: Share of the problems for the AUROC.
        templated: Whether prompts go through the chat template.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    check_sites(model, at)
    sides = paired_sides(
        alignment,
        positive,
        negative,
        problem=problem,
        position=position,
        match_tokens=match_tokens,
        templated=templated,
    )
    order, fit = _split(sides, held_out, inference.seed)
    both = read_at(
        model,
        sides.positive + sides.negative,
        at=at,
        position=position,
        pad_id=alignment.pad_id,
        execution=execution,
    )
    states = both.unflatten(1, (2, -1))
    differences = states[:, 0] - states[:, 1]
    resid_norm = states[:, :, fit].norm(dim=-1).mean((1, 2))
    vector = torch.stack([estimator(d[fit]) for d in differences])
    dtype = next(model.parameters()).dtype
    _check_norms(vector, resid_norm, at, torch.finfo(dtype).eps)
    halves = _half_cosines(differences[:, fit], order[fit], estimator, inference.seed)
    auroc = _auroc(states[:, :, ~fit], vector, order[~fit], inference)
    name = str(getattr(hugging_face_model(model).config, "name_or_path", ""))
    along = (differences[:, fit] @ vector[:, :, None])[..., 0] / vector.norm(dim=-1)[:, None]
    digest = weights_digest(model)
    return DirectionSet(
        provenance=Provenance(
            seed=inference.seed,
            dtype=str(dtype).removeprefix("torch."),
            device=str(next(model.parameters()).device),
            arguments={
                "question": how,
                "model": name,
                "model_digest": digest,
                "at": [str(site) for site in at],
                "position": position,
                "match_tokens": match_tokens,
                "held_out": held_out,
                "templated": templated,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={"contrast": sides.digest},
        ),
        how=how,
        model=name,
        model_digest=digest,
        position=f"token {position} of the prompt",
        site=tuple(map(str, at)),
        layer=torch.tensor([site.layer for site in at]),
        vector=vector.float(),
        norm=vector.norm(dim=-1),
        resid_norm=resid_norm,
        explained=along.square().sum(1) / differences[:, fit].square().sum((1, 2)),
        reliability=halves.mean(0),
        reliability_low=halves.amin(0),
        reliability_high=halves.amax(0),
        auroc=auroc[0],
        auroc_low=auroc[1],
        auroc_high=auroc[2],
        n_pairs=int(fit.sum()),
        n_held_out=len(set(order[~fit].tolist())),
        n_shifted=sides.n_shifted,
    )


def _split(
    sides: Sides, held_out: float, seed: int
) -> tuple[Int[Tensor, " pair"], Bool[Tensor, " pair"]]:
    """Number of each pair's problem, and which pairs directions are found on."""
    names = list(dict.fromkeys(sides.problem))
    if not 0 < held_out < 1:
        raise DirectionError(
            f"held_out is {held_out}, and it is the share of problems that the directions are "
            "judged on, so it must lie above 0 and below 1. Pass for example 0.3."
        )
    if (n_out := round(held_out * len(names))) < 2 or len(names) - n_out < 2:
        raise DirectionError(
            f"there are {len(names)} problems, of which {n_out} would be held out, and both to "
            "find a direction and to judge it at least 2 are needed. Pass more problems, or "
            "another held_out."
        )
    out = set(np.random.default_rng(seed).permutation(len(names))[:n_out].tolist())
    order = torch.tensor([names.index(name) for name in sides.problem])
    return order, torch.tensor([place not in out for place in order.tolist()])


def _check_norms(
    vector: Float[Tensor, "site width"],
    resid_norm: Float[Tensor, " site"],
    at: Sequence[Site],
    eps: float,
) -> None:
    """Refuse a difference that is none."""
    for site, length, size in zip(at, vector.norm(dim=-1), resid_norm, strict=True):
        if length <= eps * size:
            raise DirectionError(
                f"the difference at {site} has norm {length:.3g} where activations have "
                f"{size:.3g}, which is norm 0 to rounding: the model does not tell the two sides "
                "apart there, and steering by it would look like a null result. Leave the site "
                "out, or pass prompts that differ before the token that is read."
            )


def _half_cosines(
    differences: Float[Tensor, "site pair width"],
    order: Int[Tensor, " pair"],
    estimator: Estimator,
    seed: int,
) -> Float[Tensor, "split site"]:
    """Cosine between the directions of two random halves of the problems."""
    problems = order.unique()
    rng = np.random.default_rng([seed, 1])
    found = []
    for _ in range(_SPLITS):
        half = problems[rng.permutation(len(problems))[: len(problems) // 2]]
        first = torch.isin(order, half)
        ends = [torch.stack([estimator(d[w]) for d in differences]) for w in (first, ~first)]
        found.append(torch.cosine_similarity(*ends, dim=-1))
    return torch.stack(found)


def _auroc(
    states: Float[Tensor, "site side pair width"],
    vector: Float[Tensor, "site width"],
    order: Int[Tensor, " pair"],
    inference: Inference,
) -> Float[Tensor, "end site"]:
    """AUROC of held-out projections with joint ends, resampling problems."""
    projected = torch.einsum("sgpw,sw->sgp", states, vector)
    above = projected[:, 0, :, None] - projected[:, 1, None, :]
    wins = (above > 0).double() + 0.5 * (above == 0).double()
    value = wins.mean((1, 2))
    # DeLong's components: what each pair's two prompts add to the area, around its value.
    parts = wins.mean(2) + wins.mean(1) - value[:, None]
    problems = order.unique()
    members = (order[None] == problems[:, None]).double()
    weight = members.sum(1) / members.sum(1).mean()
    means = members @ parts.T / members.sum(1, keepdim=True)
    effects = value + weight[:, None] * (means - value)
    joint = simultaneous_intervals(
        effects.numpy(),
        level=inference.level,
        n_resamples=inference.n_resamples,
        seed=inference.seed,
    )
    low, high = torch.from_numpy(joint.low), torch.from_numpy(joint.high)
    for place in ((value == 0) | (value == 1)).nonzero()[:, 0].tolist():
        # Without a single error there is no spread to resample, and the point would be too sure.
        alone = wilson(len(problems) * int(value[place]), len(problems), level=inference.level)
        low[place], high[place] = alone.low, alone.high
    return torch.stack([value, low, high])
