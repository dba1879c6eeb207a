"""Attribution patching: effects of a sweep predicted from one backward pass."""

import torch
from torch import Tensor

from elicit.pair import ModelPair
from elicit.patching.attribution._accumulate import Gathered, common_fields
from elicit.patching.attribution._node_scores import (
    INTEGRATED,
    METHODS,
    UNSIGNED,
    Method,
    needed_sites,
    node_scores,
)
from elicit.patching.attribution._setup import attribution_plan, case_maker
from elicit.patching.attribution.result import NodeScores
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.plan import Batch, Plan
from elicit.patching.swap import Swap
from elicit.patching.sweep import patch
from elicit.results import Estimate
from elicit.runs import Execution
from elicit.stats import Inference, joint_intervals

_SITES = {
    "within": ("resid_pre", "attn_out", "mlp_out"),
    "across": ("resid_post", "attn_out", "mlp_out"),
}
_KEPT = 1 << 20
"""Maximum number of per-problem scores kept in a result."""


def attribute(
    pair: ModelPair,
    contrast: Contrast,
    swap: Swap,
    *,
    method: Method = "atp",
    steps: int = 10,
    exact: int = 0,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> NodeScores:
    """Which activations carry a difference, predicted by gradients.

    Two forward passes and one backward pass give every cell at once (`atp`): the donor's value
    minus the host's, times the gradient of the metric at the site. The other methods correct its
    failures:

    - `qk_fix`: queries and keys by their recomputed attention pattern, since a saturated softmax
      has no gradient although another query would change it.
    - `grad_drop`: one backward pass per layer with the gradient through that layer's output
      dropped, and the mean magnitude of the scores, which reveals direct and indirect effects that
      cancel. The mean is over the other layers for a component (the 1 / (n_layers - 1) of AtP*),
      and over all layers for the residual stream.
    - `atp_star`: both.
    - `ig_inputs`: the gradient's mean over `steps` inputs between host and donor (EAP-IG). Scores
      of `resid_pre.0` over all positions sum to the gap as steps grow. Only within a model: two
      models' embeddings have no such path.
    - `ig_activations`: the gradient's mean as one site's value goes from host to donor. Scores of
      each site over all positions sum to its effect as steps grow; costs `steps` partial
      forward and backward passes per layer and kind.

    Across the pair, the difference is donor model minus host model, with the host's gradient.

    Args:
        pair: The two models.
        contrast: Prompts and answers; within a model also corrupted prompts.
        swap: `across(...)` or `within(...)`, with one metric. Default sites: the residual stream,
            attention and MLP of every layer; default positions: each one.
        method: See above.
        steps: Gradients along the path, at the midpoints of equal parts, at least 1; `ig` methods
            only.
        exact: If above 0, also sweep the cells exactly and report rank correlation and recall
            of this many largest effects.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        PatchError: The swap, the contrast or an option does not fit.
        SiteError: The models do not have a site.

    Source: Nanda 2023 (attribution patching); Kramár et al. 2024, arXiv:2403.00745 (AtP*), whose
        1 / (n_layers - 1) is kept; Hanna et al. 2024, arXiv:2403.17806 (EAP-IG), here with the
        midpoint rule, which evaluates neither end and converges with the square of `steps`.
    """
    if method not in METHODS:
        raise PatchError(f"method is {method!r}. Pass one of {', '.join(METHODS)}.")
    if swap.question == "across" and method == "ig_inputs":
        raise PatchError(
            "method is 'ig_inputs', which interpolates between two prompts, and across the pair "
            "both models read the same prompt. Pass another method, for instance "
            "'ig_activations'."
        )
    check_counts(steps=steps, exact=exact)
    plan = attribution_plan(
        pair, contrast, swap, sites=_SITES[swap.question], inference=inference, execution=execution
    )
    scores = _scored(plan, method, steps)
    if not exact:
        return scores
    grid = patch(
        pair,
        contrast,
        plan.swap,
        controls=(),
        inference=Inference(level=inference.level, n_resamples=100, seed=inference.seed),
        execution=execution.scoped("exact").quiet(),
    )
    return scores.held_against(grid, top=exact)


def check_counts(*, steps: int, exact: int) -> None:
    """Refuse counts out of range.

    Raises:
        PatchError: `steps` is below 1 or `exact` below 0.
    """
    if steps < 1:
        raise PatchError(
            f"steps is {steps}, and a mean of gradients needs at least 1. Pass 1 or more."
        )
    if exact < 0:
        raise PatchError(
            f"exact is {exact}, and recall needs at least 1 cell. Pass 10, or 0 for no sweep."
        )


def _scored(plan: Plan, method: Method, steps: int) -> NodeScores:
    """Scores of all problems with their intervals."""
    inference = plan.inference
    plan.execution.progress.start(plan.n_problems, "attributing")
    make_case = case_maker(plan, needed_sites(plan.sites, method))

    def measure(batch: Batch) -> dict[str, Tensor]:
        case = make_case(batch)
        scores, host = node_scores(case, plan.sites, method, steps)
        return {"cells": scores.flatten(0, 1), "host": host, "donor": case.donor_score}

    used = steps if method in INTEGRATED else 1
    gathered = Gathered(plan, measure, key={"method": method, "steps": used})
    table = gathered.table()
    ends = joint_intervals(table, **vars(inference))
    shape = (len(plan.sites), len(plan.columns.label))
    small = table.size <= _KEPT
    arguments: dict[str, object] = {
        "method": method,
        "steps": used,
        "sites": [str(site) for site in plan.sites],
        "positions": list(plan.columns.label),
    }
    return NodeScores(
        **common_fields(plan, gathered, arguments),
        method=method,
        steps=used,
        signed=method not in UNSIGNED,
        site=tuple(str(site) for site in plan.sites),
        kind=tuple(site.kind for site in plan.sites),
        layer=torch.tensor([site.layer for site in plan.sites]),
        head=torch.tensor([-1 if site.head is None else site.head for site in plan.sites]),
        pos=plan.columns.label,
        score=Estimate.of(ends.reshape(3, *shape)),
        problem=plan.contrast.id,
        by_problem=torch.from_numpy(table.reshape(-1, *shape)) if small else None,
    )
