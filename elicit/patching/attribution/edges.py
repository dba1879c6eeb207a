"""Edge attribution: which component affects which, predicted by gradients."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.edits import shape_of
from elicit.pair import ModelPair
from elicit.patching.attribution._accumulate import Gathered, common_fields
from elicit.patching.attribution._edge_scores import Ends, edge_scores, edge_sites
from elicit.patching.attribution._path_scores import LOGITS, host_run, path_scores
from elicit.patching.attribution._setup import Case, attribution_plan, case_maker
from elicit.patching.attribution.agreement import agreement
from elicit.patching.attribution.attribute import check_counts
from elicit.patching.attribution.result import EdgeScores
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.plan import Batch, Plan
from elicit.patching.swap import Swap
from elicit.results import Estimate
from elicit.runs import Execution
from elicit.sites import Site, parse_site
from elicit.stats import Inference, joint_intervals


def attribute_edges(
    pair: ModelPair,
    contrast: Contrast,
    swap: Swap,
    *,
    steps: int = 1,
    exact: int = 0,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> EdgeScores:
    """Which edges between components carry a difference.

    The score of an edge is the donor-host difference of its sender's output times the gradient of
    the metric at its receiver's input, summed over positions (EAP). More than one step averages
    gradients over inputs between host and donor (EAP-IG). The scores of all edges out of a sender
    sum to its node's score.

    Where a norm stands between a layer's heads and the stream (Gemma, OLMo-2), a head's message
    goes through that norm's derivative. Across the pair a head's message is the donor's mixed
    values through the host's output projection, as when `z` is patched; gradients are the host's.

    Args:
        pair: The two models.
        contrast: Prompts and answers; within a model also corrupted prompts.
        swap: `across(...)` or `within(...)`, with one metric and without sites or positions: every
            edge is scored at all positions.
        steps: Points between host and donor inputs, at least 1; 1 takes gradients at the host. More
            than 1 only within a model.
        exact: If above 0, also patch every edge exactly (one partial forward pass per edge), and
            report rank correlation and recall of this many largest effects.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress. One message and one
            gradient of a batch are always held, whatever the memory.

    Raises:
        PatchError: The swap, the contrast or an option does not fit.

    Source: Syed et al. 2023, arXiv:2310.10348 (EAP); Hanna et al. 2024, arXiv:2403.17806 (EAP-IG),
        whose steps begin at the corrupted input where these stand at midpoints.
    """
    check_counts(steps=steps, exact=exact)
    if swap.question == "across" and steps > 1:
        raise PatchError(
            f"steps is {steps}, which interpolates between two prompts, and across the pair both "
            "models read the same prompt. Pass 1."
        )
    if swap.sites is not None or swap.positions not in (None, "all"):
        raise PatchError(
            f"the swap has sites {swap.sites} and positions {swap.positions}, and every edge at "
            "all positions is scored. Leave both out."
        )
    plan = attribution_plan(
        pair,
        contrast,
        swap,
        sites=("z", "mlp_out"),
        positions="all",
        inference=inference,
        execution=execution,
    )
    return _scored(plan, steps, exact)


def _scored(plan: Plan, steps: int, exact: int) -> EdgeScores:
    inference = plan.inference
    plan.execution.progress.start(plan.n_problems, "attributing edges")
    ends = Ends(shape_of(plan.host))
    known = ends.exists
    budget = max(1, plan.execution.memory // plan.pair.dtype.itemsize)
    make_case = case_maker(plan, edge_sites(ends.shape))

    def measure(batch: Batch) -> dict[str, Tensor]:
        case = make_case(batch)
        scores, host = edge_scores(case, steps, budget)
        values = {"cells": scores[known.to(scores.device)], "host": host, "donor": case.donor_score}
        return {**values, "exact": _exact(case, ends, known)} if exact else values

    gathered = Gathered(plan, measure, key={"edges": True, "steps": steps, "exact": exact > 0})

    def whole(cells: Tensor) -> Tensor:
        return torch.full(known.shape, torch.nan, dtype=torch.float64).masked_scatter(known, cells)

    table = joint_intervals(gathered.table(), **vars(inference))
    score = Estimate.of(table).map(whole)
    effects = whole(torch.from_numpy(gathered.table("exact").mean(axis=0))) if exact else None
    return EdgeScores(
        **common_fields(plan, gathered, {"steps": steps}),
        steps=steps,
        sender=ends.sender,
        receiver=ends.receiver,
        score=score,
        exact=effects,
        agreement=None if effects is None else agreement(score.value, effects, top=exact),
    )


@torch.no_grad()
def _exact(
    case: Case, ends: Ends, known: Bool[Tensor, "sender receiver"]
) -> Float[Tensor, "edge row"]:
    """Exact effect of every edge, patched alone at all positions of the prompt."""
    host = host_run(case)
    everywhere = torch.zeros_like(host.leaving[..., 0])
    everywhere[:, : case.n_prompt] = 1
    effects = []
    for sender, receiver in known.nonzero().tolist():
        name, goal = ends.sender[sender], ends.receiver[receiver]
        speaker = Site("resid_pre", 0) if name == "embed" else parse_site(name)
        hearers = [] if goal == LOGITS else [parse_site(goal.replace("mlp.", "mlp_out."))]
        score = path_scores(case, host, speaker, hearers, everywhere, logits=goal == LOGITS)
        effects.append(score - host.score)
    return torch.stack(effects)
