"""Validation of a sweep's arguments into a plan, before a model runs."""

from collections.abc import Sequence

from elicit.edits import shape_of
from elicit.pair import ModelPair
from elicit.patching._reading import check_readable
from elicit.patching.columns import resolve
from elicit.patching.contrast import Contrast, single_token
from elicit.patching.errors import PatchError
from elicit.patching.plan import CONTROLS, Control, Engine, Plan
from elicit.patching.swap import Swap
from elicit.patching.values import check_metrics
from elicit.runs import Execution
from elicit.sites import Shape, Site, resolve_sites
from elicit.stats import Inference

_STREAM = {"across": ("resid_post",), "within": ("resid_pre",)}
"""Default sites."""


def prepare(
    pair: ModelPair,
    contrast: Contrast,
    swap: Swap,
    *,
    widths: Sequence[int] = (1,),
    controls: Sequence[Control] = CONTROLS,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
    engine: Engine = "lanes",
) -> Plan:
    """Validated plan of a sweep; arguments as for `patch`.

    Args:
        pair: The two models.
        contrast: Prompts and answers.
        swap: What is patched into what.
        widths: Layers patched together.
        controls: Controls to run.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        engine: `lanes` or `loop`.

    Raises:
        PatchError: The swap, the contrast or an option is invalid.
        SiteError: The models do not have a site.
    """
    _check_swap(pair, contrast, swap)
    check_contrast(pair, contrast, swap.metrics)
    check_seed(inference)
    shape = shape_of(pair.base if swap.models[0] == "base" else pair.post)
    sites = _sites(swap, shape)
    n_layers = shape.n_layers
    wide = tuple(dict.fromkeys((1, *widths)))
    if min(wide) < 1 or max(wide) > n_layers:
        raise PatchError(
            f"widths are {tuple(widths)}, and a window holds 1 to {n_layers} layers of this model. "
            "Pass widths in that range."
        )
    unknown = [name for name in controls if name not in CONTROLS]
    if unknown:
        raise PatchError(
            f"there is no control {unknown[0]!r}. Controls are {' and '.join(CONTROLS)}."
        )
    if engine not in ("lanes", "loop"):
        raise PatchError(f"there is no engine {engine!r}. Pass 'lanes' or 'loop'.")
    return Plan(
        pair=pair,
        contrast=contrast,
        swap=swap,
        sites=sites,
        columns=resolve("each" if swap.positions is None else swap.positions, contrast),
        width=wide,
        control=tuple(controls),
        engine=engine,
        inference=inference,
        execution=execution,
    )


def _check_swap(pair: ModelPair, contrast: Contrast, swap: Swap) -> None:
    """Refuse host and donor runs that cannot differ."""
    if swap.question == "across" and pair.identical:
        raise PatchError(
            f"{pair.base_name} and {pair.post_name} have the same weights, so every effect would "
            "be exactly 0 and look like a finding. Pass a model and its post-trained sibling."
        )
    if swap.question == "within" and contrast.corrupted is None:
        raise PatchError(
            "the contrast has no corrupted prompts, so clean and corrupted runs would be the same. "
            "Give corrupted prompts, or compare two models on the same prompts with across."
        )


def check_seed(inference: Inference) -> None:
    """Refuse a negative seed.

    Raises:
        PatchError: The seed is below 0.
    """
    if inference.seed < 0:
        raise PatchError(f"seed is {inference.seed} and must be at least 0. Pass 0.")


def check_contrast(pair: ModelPair, contrast: Contrast, metrics: Sequence[str]) -> None:
    """Refuse metrics that a contrast does not support, and contrasts that the models cannot run.

    Raises:
        PatchError: Names the metric or the problem.
    """
    check_metrics(metrics)
    check_readable(metrics, has_wrong=contrast.wrong is not None)
    for metric in metrics:
        single_token(contrast, metric)
    if len(contrast) < 2:
        raise PatchError(
            f"the contrast has {len(contrast)} problem, and an interval needs at least 2 (a useful "
            "one 50 or more). Add problems."
        )
    contrast.check(pair.d_vocab)
    limit = pair.side("base").n_positions
    for name, row, answer in zip(contrast.id, contrast.clean, contrast.answer, strict=True):
        if limit is not None and len(row) + len(answer) - 1 > limit:
            raise PatchError(
                f"problem {name!r} needs {len(row) + len(answer) - 1} positions and the models "
                f"have {limit}, so the last ones are untrained. Shorten it, or leave it out."
            )


def _sites(swap: Swap, shape: Shape) -> tuple[Site, ...]:
    sites = resolve_sites(_STREAM[swap.question] if swap.sites is None else swap.sites, shape)
    patterns = [str(site) for site in sites if site.kind == "pattern"]
    if patterns:
        raise PatchError(
            f"sites include {patterns[0]}, and attention patterns have no position to sweep over. "
            "Patch q, k or z, or edit a pattern with elicit.edits."
        )
    return sites
