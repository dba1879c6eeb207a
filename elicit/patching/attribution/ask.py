"""Attribution patching: what a sweep would find, foretold from one backward pass."""

from collections.abc import Sequence

import torch

from elicit.pair import ModelPair
from elicit.patching.attribution.gathered import Gathered, asked
from elicit.patching.attribution.nodes import (
    INTEGRATED,
    METHODS,
    UNSIGNED,
    Method,
    needed_sites,
    node_scores,
)
from elicit.patching.attribution.question import Question, ask_across, ask_within, cases
from elicit.patching.attribution.result import NodeScores
from elicit.patching.columns import Positions
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.ways import Across, Side, Within, across, within
from elicit.results import Estimate
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference, joint_intervals

_KEPT = 1 << 20
"""Scores of single problems that a result keeps, at most."""


def attribute(
    pair: ModelPair,
    contrast: Contrast,
    *,
    model: Side = "base",
    direction: Within = "denoise",
    sites: Sequence[Site | str] = ("resid_pre", "attn_out", "mlp_out"),
    positions: Positions = "each",
    metric: str = "logit_diff",
    method: Method = "atp",
    steps: int = 10,
    exact: bool = False,
    top: int = 10,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> NodeScores:
    """Which activations of one model carry the difference between prompts, foretold by gradients.

    Two forwards and one backward give every cell at once (`atp`): the donor's value minus the
    host's, times the gradient of the metric there. What that misses, others mend:

    - `qk_fix`: queries and keys by their recomputed attention pattern. A saturated softmax is flat
      although another query would turn it.
    - `grad_drop`: one backward a layer with the gradient through what that layer writes dropped,
      and the mean size of the scores. Direct and indirect effects that cancel each other show. The
      mean is over the other layers for a component (the 1 / (n_layers - 1) of AtP*), and over all
      layers for the residual stream.
    - `atp_star`: both.
    - `ig_inputs`: the gradient's mean over `steps` inputs between host and donor (EAP-IG). Scores
      of `resid_pre.0` over all positions sum to the gap as steps grow.
    - `ig_activations`: the mean while one site's whole value goes from host to donor. Scores of
      each site over all its positions sum to its effect as steps grow; costs `steps` partial
      forwards and backwards a layer and kind.

    Args:
        pair: The two models.
        contrast: Clean and corrupted prompts of equal token length.
        model: Which of the two.
        direction: `denoise` puts clean activations into the corrupted run, `noise` the reverse.
        sites: What is scored, see `within`.
        positions: Columns of the result, within the prompt.
        metric: `logit_diff`, `log_prob`, `probability` or `kl`.
        method: See above.
        steps: Gradients along the way, at the midpoints of as many equal parts, at least 1; used by
            the `ig` methods alone.
        exact: Also sweep the same cells exactly, and say how well the scores agree.
        top: Cells that the agreement's recall looks at, at least 1.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        PatchError: The contrast or an option does not fit the question.
        SiteError: The model does not have a site.

    Source: Nanda 2023 (attribution patching); Kramár et al. 2024, arXiv:2403.00745 (AtP*), whose
        1 / (n_layers - 1) is kept; Hanna et al. 2024, arXiv:2403.17806 (EAP-IG), here with the
        midpoint rule, which evaluates neither end and converges with the square of `steps`.
    """
    _refuse(method, steps, top, METHODS)
    question = ask_within(
        pair,
        contrast,
        model=model,
        direction=direction,
        sites=sites,
        positions=positions,
        metric=metric,
        execution=execution,
    )
    found = _scored(question, metric, method, steps, inference)
    if not exact:
        return found
    grid = within(
        pair,
        contrast,
        model=model,
        direction=direction,
        sites=question.plan.sites,
        positions=positions,
        metrics=(metric,),
        controls=(),
        inference=Inference(level=inference.level, n_resamples=100, seed=inference.seed),
    )
    return found.held_against(grid, top=top)


def attribute_across(
    pair: ModelPair,
    contrast: Contrast,
    *,
    direction: Across = "post_to_base",
    sites: Sequence[Site | str] = ("resid_post", "attn_out", "mlp_out"),
    positions: Positions = "each",
    metric: str = "logit_diff",
    method: Method = "atp",
    steps: int = 10,
    exact: bool = False,
    top: int = 10,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> NodeScores:
    """Which of one model's activations would carry its behaviour into the other, by gradients.

    The difference is donor model minus host model on the same clean prompts, the gradient the
    host's own. `ig_inputs` is refused: both models read the same tokens, and a way between two
    embeddings does not lead from one model to the other.

    Args:
        pair: The two models; their weights must differ.
        contrast: Prompts and answers; corrupted prompts, if any, are not read.
        direction: `post_to_base` puts activations of post into base, `base_to_post` the reverse.
        sites: What is scored, see `within`.
        positions: Columns of the result, within the prompt.
        metric: See `attribute`.
        method: See `attribute`.
        steps: See `attribute`.
        exact: Also sweep the same cells exactly, and say how well the scores agree.
        top: Cells that the agreement's recall looks at, at least 1.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        PatchError: The two models are the same, or an option does not fit the question.
        SiteError: The models do not have a site.
    """
    _refuse(method, steps, top, tuple(m for m in METHODS if m != "ig_inputs"))
    question = ask_across(
        pair,
        contrast,
        direction=direction,
        sites=sites,
        positions=positions,
        metric=metric,
        execution=execution,
    )
    found = _scored(question, metric, method, steps, inference)
    if not exact:
        return found
    grid = across(
        pair,
        contrast,
        direction=direction,
        sites=question.plan.sites,
        positions=positions,
        metrics=(metric,),
        controls=(),
        inference=Inference(level=inference.level, n_resamples=100, seed=inference.seed),
    )
    return found.held_against(grid, top=top)


def _refuse(method: str, steps: int, top: int, known: Sequence[str]) -> None:
    if method not in known:
        why = "" if method in METHODS else "is not known"
        why = why or "leads from one prompt to another and these are two models on the same prompt"
        raise PatchError(
            f"method is {method!r}, which {why}, so there would be no score. Pass one of "
            f"{', '.join(known)}."
        )
    if steps < 1:
        raise PatchError(f"steps is {steps}, and a mean of gradients needs at least 1. Pass more.")
    if top < 1:
        raise PatchError(f"top is {top}, and recall looks at 1 cell or more. Pass at least 1.")


def _scored(
    question: Question, metric: str, method: Method, steps: int, inference: Inference
) -> NodeScores:
    """Scores of all problems with their intervals."""
    plan = question.plan
    plan.progress.start(question.n_problems, "attributing")
    gathered = Gathered()
    for case in cases(question, needed_sites(plan.sites, method)):
        scores, host = node_scores(case, plan.sites, method, steps)
        gathered.add(case.problem, scores.flatten(0, 1), host, case.donor_score)
        plan.progress.advance(len(case.problem))
    plan.progress.stop()
    table = gathered.table(question)
    ends = joint_intervals(
        table, level=inference.level, n_resamples=inference.n_resamples, seed=inference.seed
    )
    shape = (len(plan.sites), len(plan.columns.label))
    small = table.size <= _KEPT
    used = steps if method in INTEGRATED else 1
    arguments: dict[str, object] = {
        "method": method,
        "steps": used,
        "sites": [str(site) for site in plan.sites],
        "positions": list(plan.columns.label),
    }
    return NodeScores(
        **asked(question, gathered, metric, inference, arguments),
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
