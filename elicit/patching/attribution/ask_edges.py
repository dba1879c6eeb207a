"""Which component speaks to which: edges of the computation, foretold by gradients."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.edits import shape_of
from elicit.pair import ModelPair
from elicit.patching.attribution.agreement import agreement
from elicit.patching.attribution.edges import Ends, edge_scores, edge_sites
from elicit.patching.attribution.gathered import Gathered, asked
from elicit.patching.attribution.path import LOGITS, host_run, path_scores
from elicit.patching.attribution.question import Case, Question, ask_across, ask_within, cases
from elicit.patching.attribution.result import EdgeScores
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.ways import Across, Side, Within
from elicit.results import Estimate
from elicit.runs import Execution
from elicit.sites import Site, parse_site
from elicit.stats import Inference, joint_intervals

_BUDGET = 1 << 26


def attribute_edges(
    pair: ModelPair,
    contrast: Contrast,
    *,
    model: Side = "base",
    direction: Within = "denoise",
    metric: str = "logit_diff",
    steps: int = 1,
    exact: bool = False,
    top: int = 10,
    budget: int = _BUDGET,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> EdgeScores:
    """Through which connections between components the difference between prompts goes.

    The score of an edge is what its sender writes differently in the donor, times the gradient of
    the metric at the residual stream as its receiver alone reads it, summed over positions (EAP).
    More than one step averages gradients over inputs between host and donor (EAP-IG). The scores of
    all edges out of a sender sum to its node's score.

    Where a norm stands between a layer's heads and the stream (Gemma, OLMo-2), a head's message
    goes through that norm's derivative.

    Args:
        pair: The two models.
        contrast: Clean and corrupted prompts of equal token length.
        model: Which of the two.
        direction: `denoise` puts clean messages into the corrupted run, `noise` the reverse.
        metric: `logit_diff`, `log_prob`, `probability` or `kl`.
        steps: Gradients along the way, at the midpoints of as many equal parts; 1 takes it at the
            host itself.
        exact: Also patch every edge exactly, one partial forward each, and say how well they agree.
        top: Edges that the agreement's recall looks at, at least 1.
        budget: Most numbers in one tensor of messages or of slopes, at least 1; one message and one
            slope of a batch are always held. Changes memory, never the scores.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        PatchError: The contrast or an option does not fit the question.

    Source: Syed et al. 2023, arXiv:2310.10348 (EAP); Hanna et al. 2024, arXiv:2403.17806 (EAP-IG),
        whose steps begin at the corrupted input where these stand at midpoints.
    """
    _refuse(steps, budget, top)
    question = ask_within(
        pair,
        contrast,
        model=model,
        direction=direction,
        sites=("z", "mlp_out"),
        positions="all",
        metric=metric,
        execution=execution,
    )
    return _scored(question, metric, steps, exact, top, budget, inference)


def attribute_edges_across(
    pair: ModelPair,
    contrast: Contrast,
    *,
    direction: Across = "post_to_base",
    metric: str = "logit_diff",
    exact: bool = False,
    top: int = 10,
    budget: int = _BUDGET,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> EdgeScores:
    """Through which of the host's connections the donor model's values would act.

    A head's message is the donor's mixed values through the host's own output projection, as when
    `z` is patched; gradients are the host's.

    Args:
        pair: The two models; their weights must differ.
        contrast: Prompts and answers; corrupted prompts, if any, are not read.
        direction: `post_to_base` puts messages of post into base, `base_to_post` the reverse.
        metric: See `attribute_edges`.
        exact: See `attribute_edges`.
        top: See `attribute_edges`.
        budget: See `attribute_edges`.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        PatchError: The two models are the same, or an option does not fit the question.
    """
    _refuse(1, budget, top)
    question = ask_across(
        pair,
        contrast,
        direction=direction,
        sites=("z", "mlp_out"),
        positions="all",
        metric=metric,
        execution=execution,
    )
    return _scored(question, metric, 1, exact, top, budget, inference)


def _refuse(steps: int, budget: int, top: int) -> None:
    for name, value in (("steps", steps), ("budget", budget), ("top", top)):
        if value < 1:
            raise PatchError(f"{name} is {value}, and nothing can be done with less than 1. "
                             "Pass 1 or more.")  # fmt: skip


def _scored(
    question: Question,
    metric: str,
    steps: int,
    exact: bool,
    top: int,
    budget: int,
    inference: Inference,
) -> EdgeScores:
    plan = question.plan
    plan.progress.start(question.n_problems, "attributing edges")
    gathered, truth = Gathered(), Gathered()
    ends = Ends(shape_of(plan.host))
    known = ends.exists
    for case in cases(question, edge_sites(ends.shape)):
        scores, host = edge_scores(case, steps, budget)
        gathered.add(case.problem, scores[known.to(scores.device)], host, case.donor_score)
        if exact:
            truth.add(case.problem, _exact(case, ends, known), host, case.donor_score)
        plan.progress.advance(len(case.problem))
    plan.progress.stop()

    def whole(cells: Tensor) -> Tensor:
        return torch.full(known.shape, torch.nan, dtype=torch.float64).masked_scatter(known, cells)

    table = joint_intervals(
        gathered.table(question),
        level=inference.level,
        n_resamples=inference.n_resamples,
        seed=inference.seed,
    )
    score = Estimate.of(table).map(whole)
    found = whole(torch.from_numpy(truth.table(question).mean(axis=0))) if exact else None
    return EdgeScores(
        **asked(question, gathered, metric, inference, {"steps": steps}),
        steps=steps,
        sender=ends.sender,
        receiver=ends.receiver,
        score=score,
        exact=found,
        agreement=None if found is None else agreement(score.value, found, top=top),
    )


@torch.no_grad()
def _exact(
    case: Case, ends: Ends, known: Bool[Tensor, "sender receiver"]
) -> Float[Tensor, "edge row"]:
    """Effect of every edge, each patched alone by `path_scores`, at all positions of the prompt."""
    host = host_run(case)
    everywhere = torch.zeros_like(host.leaving[..., 0])
    everywhere[:, : case.n_prompt] = 1
    found = []
    for sender, receiver in known.nonzero().tolist():
        name, goal = ends.sender[sender], ends.receiver[receiver]
        speaker = Site("resid_pre", 0) if name == "embed" else parse_site(name)
        hearers = [] if goal == LOGITS else [parse_site(goal.replace("mlp.", "mlp_out."))]
        score = path_scores(case, host, speaker, hearers, everywhere, logits=goal == LOGITS)
        found.append(score - host.score)
    return torch.stack(found)
