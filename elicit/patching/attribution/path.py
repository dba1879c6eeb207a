"""Path patching: direct effect of a sender on receivers, exact."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from elicit.edits import shape_of
from elicit.pair import ModelPair
from elicit.patching.attribution._accumulate import Gathered, common_fields
from elicit.patching.attribution._path_scores import LOGITS, host_run, path_scores, refuse_path
from elicit.patching.attribution._setup import attribution_plan, case_maker
from elicit.patching.attribution.result import PathEffect
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.plan import Batch
from elicit.patching.swap import Swap
from elicit.results import Estimate
from elicit.runs import Execution
from elicit.sites import Shape, Site, resolve_site, resolve_sites
from elicit.stats import Inference, joint_intervals


def path_patch(
    pair: ModelPair,
    contrast: Contrast,
    swap: Swap,
    sender: Site | str,
    receivers: Sequence[Site | str],
    *,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> PathEffect:
    """Direct effect of one sender on some receivers.

    The sender takes the donor's value, which reaches the receivers through the residual stream
    only: heads and MLPs in between are frozen at the host's values. The receivers' new values are
    then patched into the host.

    Args:
        pair: The two models.
        contrast: Prompts and answers; within a model also corrupted prompts.
        swap: `across(...)` or `within(...)`, with one metric and without sites. Its positions are
            those of the sender, one effect each; default: all at once.
        sender: One site. A residual stream includes everything written before it.
        receivers: Downstream sites or short names, and `logits` for the output. `mlp_out` receives
            through the MLP's input, `q`, `k` and `v` through their projections, `z` and `attn_out`
            through all three.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        PatchError: A receiver is not downstream of the sender, or the swap or contrast is invalid.
        SiteError: The models do not have a site.

    Source: Wang et al. 2022, arXiv:2211.00593 (IOI), with MLPs frozen like heads.
    """
    if swap.sites is not None:
        raise PatchError(
            f"the swap has sites {swap.sites}, and a path is defined by sender and receivers. "
            "Leave sites out."
        )
    shape = shape_of(pair.base)
    start, ends, logits = _sites(shape, sender, receivers)
    refuse_path(start, ends, shape, logits=logits)
    plan = attribution_plan(
        pair,
        contrast,
        replace(swap, sites=(start, *ends)),
        sites=(),
        positions="all",
        inference=inference,
        execution=execution,
    )
    names = (*(str(site) for site in ends), *([LOGITS] if logits else []))
    execution.progress.start(plan.n_problems, "patching a path")
    make_case = case_maker(plan, [start])

    def measure(batch: Batch) -> dict[str, Tensor]:
        case = make_case(batch)
        host = host_run(case)
        effects = [
            path_scores(case, host, start, ends, inside, logits=logits) - host.score
            for inside in case.inside.unbind(1)
        ]
        return {"cells": torch.stack(effects), "host": host.score, "donor": case.donor_score}

    gathered = Gathered(plan, measure, key={"sender": str(start), "receivers": list(names)})
    table = joint_intervals(gathered.table(), **vars(inference))
    arguments: dict[str, object] = {
        "sender": str(start),
        "receivers": list(names),
        "positions": list(plan.columns.label),
    }
    return PathEffect(
        **common_fields(plan, gathered, arguments),
        sender=str(start),
        receiver=names,
        pos=plan.columns.label,
        effect=Estimate.of(table),
    )


def _sites(
    shape: Shape, sender: Site | str, receivers: Sequence[Site | str]
) -> tuple[Site, tuple[Site, ...], bool]:
    """The sender, the receivers, and whether the logits are a receiver."""
    if isinstance(receivers, str):
        raise PatchError(
            f"receivers is the string {receivers!r}, and its characters would be read as sites. "
            f"Pass a list: [{receivers!r}]."
        )
    start = resolve_site(sender, shape)
    names = [name for name in receivers if name != LOGITS]
    ends = resolve_sites(names, shape) if names else ()
    patterns = [str(site) for site in (start, *ends) if site.kind == "pattern"]
    if patterns:
        raise PatchError(
            f"the path has {patterns[0]}, and attention patterns neither write to the residual "
            "stream nor read it by themselves. Use q, k or z of that head."
        )
    return start, ends, LOGITS in receivers
