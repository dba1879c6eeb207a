"""Activation patching within one model or across the pair, one cell at a time."""

from collections.abc import Sequence

from elicit.pair import ModelPair
from elicit.patching._cells import sweep
from elicit.patching._checks import prepare
from elicit.patching.conclusion import conclude_grid
from elicit.patching.contrast import Contrast
from elicit.patching.grid import PatchGrid
from elicit.patching.plan import CONTROLS, Control, Engine, Plan, n_lanes
from elicit.patching.swap import Swap
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.weights import is_changed, parts_of

_EMBEDS = ("embed", "pos_embed")


def patch(
    pair: ModelPair,
    contrast: Contrast,
    swap: Swap,
    *,
    widths: Sequence[int] = (1,),
    controls: Sequence[Control] = CONTROLS,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
    engine: Engine = "lanes",
) -> PatchGrid:
    """Which activations carry a difference: between two models, or two prompts of one model.

    Every cell is one experiment: the host's activation at one site and position is replaced by the
    donor's, and the rest of the host runs on.

    Args:
        pair: The two models.
        contrast: Prompts and answers. Within a model it needs corrupted prompts; across the pair,
            both models read the clean ones.
        swap: `across(...)` or `within(...)`. Default sites: the residual stream of every layer
            (`resid_post` across, `resid_pre` within); default positions: each one.
        widths: Layers patched together from each site's own on; 1 is always included.
        controls: Of `other_prompt` (the donor's activation from another problem whose prompt has
            the same length) and `noise` (of the norm of the donor's difference).
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        engine: `lanes`, or `loop`: one whole forward pass per cell, slow, to verify the lanes.

    Raises:
        PatchError: Host and donor cannot differ, or an option or the contrast does not fit.
        SiteError: The models do not have a site.
    """
    return run(
        prepare(
            pair,
            contrast,
            swap,
            widths=widths,
            controls=controls,
            inference=inference,
            execution=execution,
            engine=engine,
        )
    )


def run(plan: Plan) -> PatchGrid:
    """Sweep a prepared plan; `patch` is `run(prepare(...))`.

    Raises:
        PatchError: A model is edited or a donor activation is not finite.
    """
    plan.execution.progress.start(n_lanes(plan), "patching")
    values = sweep(plan)
    plan.execution.progress.stop()
    inference = plan.inference
    return conclude_grid(
        values,
        contrast=plan.contrast,
        swap=plan.swap,
        embeds_alike=plan.swap.question == "within" or _embeds_alike(plan.pair),
        inference=inference,
        provenance=plan.pair.provenance(
            inference.seed,
            {
                "question": plan.swap.question,
                "model": plan.swap.model,
                "direction": plan.swap.direction,
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
        ),
    )


def _embeds_alike(pair: ModelPair) -> bool:
    """Whether both models have the same embeddings, so that layer 0 is the first to differ."""
    outside = parts_of(pair, "outside")
    return not any(is_changed(pair, part) for part in outside if part.name in _EMBEDS)
