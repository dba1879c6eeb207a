"""Patch within one model, or across the two."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from elicit.pair import ModelPair
from elicit.patching.asked import CONTROLS, checked_plan
from elicit.patching.columns import Positions
from elicit.patching.conclusion import conclude_grid
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.grid import PatchGrid
from elicit.patching.plan import Control, Engine, Plan, check_statistics, n_lanes
from elicit.patching.sweep import sweep
from elicit.patching.values import SweepValues
from elicit.runs import Checkpoint, Execution
from elicit.sites import Site
from elicit.stats import Inference
from elicit.weights import is_changed, parts_of, slots_of

Within = Literal["denoise", "noise"]
Across = Literal["post_to_base", "base_to_post"]
Side = Literal["base", "post"]
_EMBEDS = ("embed", "pos_embed")


def within(
    pair: ModelPair,
    contrast: Contrast,
    *,
    model: Side = "base",
    direction: Within = "denoise",
    sites: Sequence[Site | str] = ("resid_pre",),
    positions: Positions = "each",
    metrics: Sequence[str] = ("logit_diff",),
    widths: Sequence[int] = (1,),
    controls: Sequence[Control] = CONTROLS,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
    engine: Engine = "lanes",
) -> PatchGrid:
    """Which activations of one model carry the difference between clean and corrupted prompts.

    Args:
        pair: The two models.
        contrast: Clean and corrupted prompts of equal token length.
        model: Which of the two is patched.
        direction: `denoise` puts clean activations into the corrupted run (are they enough?),
            `noise` corrupted ones into the clean run (are they needed?).
        sites: Rows of the grid: sites, or names such as `resid_pre` (every layer), `z.heads` (every
            head of every layer), `z.3.1`.
        positions: Columns of the grid, within the prompt.
        metrics: Of `logit_diff`, `log_prob` (whole answer), `probability` and `kl` (to the donor).
        widths: Layers patched together from each site's own on; 1 always stands beside them.
        controls: Of `other_prompt` (a donor from another prompt of the same length) and `noise`
            (as long as the donor's difference).
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        engine: `lanes`, or `loop` for one whole forward a cell.

    Raises:
        PatchError: The contrast does not fit the question; see also `Contrast`.
        SiteError: The model does not have a site.
    """
    if contrast.corrupted is None:
        raise PatchError(
            "the contrast has no corrupted prompts, so clean and corrupted runs would be the same. "
            "Give corrupted prompts, or compare two models on the same prompts with across."
        )
    if direction not in ("denoise", "noise"):
        raise PatchError(
            f"direction is {direction!r}, and a sweep within a model either denoises or noises. "
            "Pass 'denoise' or 'noise'."
        )
    check_statistics(inference)
    bridge = side_of(pair, model)
    clean = direction == "denoise"
    plan = checked_plan(
        pair,
        contrast,
        host=bridge,
        donor=bridge,
        host_rows=contrast.corrupted if clean else contrast.clean,
        donor_rows=contrast.clean if clean else contrast.corrupted,
        sites=sites,
        positions=positions,
        metrics=metrics,
        widths=widths,
        controls=controls,
        seed=inference.seed,
        execution=execution,
        engine=engine,
    )
    values = _swept(plan, execution.checkpoint)
    names = (f"{model}, corrupted prompt", f"{model}, clean prompt")
    return conclude_grid(
        values,
        contrast=contrast,
        direction=direction,
        host_name=names[0] if clean else names[1],
        donor_name=names[1] if clean else names[0],
        question="within",
        inference=inference,
        provenance=_provenance(pair, plan, "within", direction, inference, model),
    )


def across(
    pair: ModelPair,
    contrast: Contrast,
    *,
    direction: Across = "post_to_base",
    sites: Sequence[Site | str] = ("resid_post",),
    positions: Positions = "each",
    metrics: Sequence[str] = ("logit_diff",),
    widths: Sequence[int] = (1,),
    controls: Sequence[Control] = CONTROLS,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
    engine: Engine = "lanes",
) -> PatchGrid:
    """Which of one model's activations carry its behaviour into the other model.

    Both read the same (clean) prompts. The host's own weights run on downstream of the patch.

    Args:
        pair: The two models; their weights must differ.
        contrast: Prompts and answers; corrupted prompts, if any, are not read.
        direction: `post_to_base` patches base with activations of post, `base_to_post` the reverse.
        sites: Rows of the grid, see `within`.
        positions: Columns of the grid, within the prompt.
        metrics: See `within`.
        widths: Layers patched together from each site's own on; 1 always stands beside them.
        controls: See `within`; the other prompt's activations are the donor model's.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        engine: `lanes`, or `loop` for one whole forward a cell.

    Raises:
        PatchError: The two models are the same, or the contrast does not fit the question.
        SiteError: The models do not have a site.

    Source: cross-model activation patching of Prakash et al. 2024 (arXiv:2402.14811), with every
        site, both directions and the host's downstream weights.
    """
    if direction not in ("post_to_base", "base_to_post"):
        raise PatchError(
            f"direction is {direction!r}, and a sweep across the pair goes one of two ways. Pass "
            "'post_to_base' or 'base_to_post'."
        )
    if pair.identical:
        raise PatchError(
            f"{pair.base_name} and {pair.post_name} have the same weights, so every effect would "
            "be exactly 0 and look like a finding. Pass a model and its post-trained sibling."
        )
    check_statistics(inference)
    forward = direction == "post_to_base"
    plan = checked_plan(
        pair,
        contrast,
        host=pair.base if forward else pair.post,
        donor=pair.post if forward else pair.base,
        host_rows=contrast.clean,
        donor_rows=contrast.clean,
        sites=sites,
        positions=positions,
        metrics=metrics,
        widths=widths,
        controls=controls,
        seed=inference.seed,
        execution=execution,
        engine=engine,
    )
    values = _swept(plan, execution.checkpoint)
    return conclude_grid(
        values,
        contrast=contrast,
        direction=direction,
        host_name="base" if forward else "post",
        donor_name="post" if forward else "base",
        question="across",
        embeds_alike=_embeds_alike(pair),
        inference=inference,
        provenance=_provenance(pair, plan, "across", direction, inference, None),
    )


def _embeds_alike(pair: ModelPair) -> bool:
    """Whether both models put the same vectors at every token, so that layer 0 is the first."""
    slots = slots_of(pair)
    outside = parts_of(pair, "outside")
    return not any(is_changed(slots, part) for part in outside if part.name in _EMBEDS)


def side_of(pair: ModelPair, model: str) -> nn.Module:
    """One of the pair's two bridges by its name.

    Args:
        pair: The two models.
        model: `base` or `post`.

    Raises:
        PatchError: It is neither.
    """
    if model not in ("base", "post"):
        raise PatchError(f"model is {model!r}, and a pair has base and post. Pass one of the two.")
    return pair.base if model == "base" else pair.post


def _swept(plan: Plan, cells: Checkpoint | None) -> SweepValues:
    plan.progress.start(n_lanes(plan), "patching")
    values = sweep(plan, cells)
    plan.progress.stop()
    return values


def _provenance(
    pair: ModelPair,
    plan: Plan,
    question: str,
    direction: str,
    inference: Inference,
    model: str | None,
):
    return pair.provenance(
        plan.seed,
        {
            "question": question,
            "model": model,
            "direction": direction,
            "sites": [str(site) for site in plan.sites],
            "positions": list(plan.columns.label),
            "metrics": list(plan.metric),
            "widths": list(plan.width),
            "controls": list(plan.control),
            "engine": plan.engine,
            "level": inference.level,
            "n_resamples": inference.n_resamples,
        },
        task_digests={"contrast": plan.contrast.digest},
    )
