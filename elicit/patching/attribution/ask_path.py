"""One path: what a sender says to some receivers, patched exactly."""

from collections.abc import Sequence

import torch

from elicit.edits import shape_of
from elicit.pair import ModelPair
from elicit.patching.attribution.gathered import Gathered, asked
from elicit.patching.attribution.path import LOGITS, host_run, path_scores, refuse_path
from elicit.patching.attribution.question import Question, ask_across, ask_within, cases
from elicit.patching.attribution.result import PathEffect
from elicit.patching.columns import Positions
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.ways import Across, Side, Within
from elicit.results import Estimate
from elicit.runs import Execution
from elicit.sites import Site, resolve_site, resolve_sites
from elicit.stats import Inference, joint_intervals


def path_patch(
    pair: ModelPair,
    contrast: Contrast,
    sender: Site | str,
    receivers: Sequence[Site | str],
    *,
    model: Side = "base",
    direction: Within = "denoise",
    positions: Positions = "all",
    metric: str = "logit_diff",
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> PathEffect:
    """How much of the difference goes from one sender straight to some receivers.

    The sender's value is the donor's. It reaches the receivers through the residual stream alone:
    every head and MLP between stays as in the host. The receivers' new values are then patched into
    the host, which runs on from there.

    Args:
        pair: The two models.
        contrast: Clean and corrupted prompts of equal token length.
        sender: One site. A residual stream speaks for all that was written before it.
        receivers: Sites downstream, or names as in `within`, and `logits` for the end of the run.
            `mlp_out` hears by what the MLP reads, `q`, `k` and `v` by their projections, `z` and
            `attn_out` by all three.
        model: Which of the two models.
        direction: `denoise` puts the clean message into the corrupted run, `noise` the reverse.
        positions: Positions of the sender; one effect each.
        metric: `logit_diff`, `log_prob`, `probability` or `kl`.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        PatchError: A receiver is not downstream of the sender, or an option does not fit.
        SiteError: The model does not have a site.

    Source: Wang et al. 2022, arXiv:2211.00593 (IOI), with MLPs frozen like heads.
    """
    sites, logits = _sites(pair, sender, receivers)
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
    return _patched(question, sites, logits, metric, inference)


def path_patch_across(
    pair: ModelPair,
    contrast: Contrast,
    sender: Site | str,
    receivers: Sequence[Site | str],
    *,
    direction: Across = "post_to_base",
    positions: Positions = "all",
    metric: str = "logit_diff",
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> PathEffect:
    """How much one model's sender would tell some receivers in the other model.

    Args:
        pair: The two models; their weights must differ.
        contrast: Prompts and answers; corrupted prompts, if any, are not read.
        sender: One site, read in the donor model; the host's own weights carry it on.
        receivers: See `path_patch`.
        direction: `post_to_base` lets post speak inside base, `base_to_post` the reverse.
        positions: Positions of the sender; one effect each.
        metric: See `path_patch`.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        PatchError: The models are the same, a receiver is not downstream, or an option does not
            fit.
        SiteError: The models do not have a site.
    """
    sites, logits = _sites(pair, sender, receivers)
    question = ask_across(
        pair,
        contrast,
        direction=direction,
        sites=sites,
        positions=positions,
        metric=metric,
        execution=execution,
    )
    return _patched(question, sites, logits, metric, inference)


def _sites(
    pair: ModelPair, sender: Site | str, receivers: Sequence[Site | str]
) -> tuple[tuple[Site, ...], bool]:
    """The sender, then the receivers; and whether the logits hear too."""
    shape = shape_of(pair.base)
    if isinstance(receivers, str):
        raise PatchError(
            f"receivers is the text {receivers!r}, and its letters would be read as sites. Pass a "
            f"list: [{receivers!r}]."
        )

    start = resolve_site(sender, shape)
    names = [name for name in receivers if name != LOGITS]
    ends = resolve_sites(names, shape) if names else ()
    sites = tuple(dict.fromkeys((start, *ends)))
    logits = LOGITS in receivers
    patterns = [str(site) for site in sites if site.kind == "pattern"]
    if patterns:
        raise PatchError(
            f"{patterns[0]} is asked for, and attention patterns neither write to the residual "
            "stream nor read it by themselves. Use q, k or z of that head."
        )
    refuse_path(start, ends, shape, logits=logits)
    return sites, logits


def _patched(
    question: Question, sites: tuple[Site, ...], logits: bool, metric: str, inference: Inference
) -> PathEffect:
    plan = question.plan
    sender, receivers = sites[0], sites[1:]
    plan.progress.start(question.n_problems, "patching a path")
    gathered = Gathered()
    for case in cases(question, [sender]):
        host = host_run(case)
        found = [
            path_scores(case, host, sender, receivers, inside, logits=logits) - host.score
            for inside in case.inside.unbind(1)
        ]
        gathered.add(case.problem, torch.stack(found), host.score, case.donor_score)
        plan.progress.advance(len(case.problem))
    plan.progress.stop()
    ends = joint_intervals(
        gathered.table(question),
        level=inference.level,
        n_resamples=inference.n_resamples,
        seed=inference.seed,
    )
    names = (*(str(site) for site in receivers), *([LOGITS] if logits else []))
    arguments: dict[str, object] = {
        "sender": str(sender),
        "receivers": list(names),
        "positions": list(plan.columns.label),
    }
    return PathEffect(
        **asked(question, gathered, metric, inference, arguments),
        sender=str(sender),
        receiver=names,
        pos=plan.columns.label,
        effect=Estimate.of(ends),
    )
