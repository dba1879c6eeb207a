"""What a user asked of a sweep, checked before any model runs."""

from collections.abc import Sequence

from torch import nn

from elicit.edits import shape_of
from elicit.pair import ModelPair
from elicit.patching.columns import Positions, resolve
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.plan import Control, Engine, Plan, check_contrast
from elicit.runs import Execution
from elicit.sites import Site, resolve_sites

CONTROLS: tuple[Control, ...] = ("other_prompt", "noise")


def checked_plan(
    pair: ModelPair,
    contrast: Contrast,
    *,
    host: nn.Module,
    donor: nn.Module,
    host_rows: tuple[tuple[int, ...], ...],
    donor_rows: tuple[tuple[int, ...], ...],
    sites: Sequence[Site | str],
    positions: Positions,
    metrics: Sequence[str],
    widths: Sequence[int],
    controls: Sequence[Control],
    seed: int,
    execution: Execution = Execution(),
    engine: Engine,
) -> Plan:
    """A plan of which nothing is left to refuse, made before a model runs.

    Args:
        pair: The two models.
        contrast: Problems.
        host: Bridge that is patched.
        donor: Bridge that the activations come from.
        host_rows: Prompt that the host reads, by problem.
        donor_rows: Prompt that the donor reads.
        sites: Sites, or short names of several.
        positions: Columns of the grid.
        metrics: What is read.
        widths: Layers patched together.
        controls: Controls that are swept too.
        seed: Of the controls.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        engine: `lanes` or `loop`.

    Raises:
        PatchError: Something asked for makes no sweep.
        SiteError: The model does not have a site.
    """
    check_contrast(pair, contrast, metrics)
    shape = shape_of(host)
    found = resolve_sites(sites, shape)
    patterns = [str(site) for site in found if site.kind == "pattern"]
    if patterns:
        raise PatchError(
            f"{patterns[0]} is asked for, and attention patterns have no position to sweep over. "
            "Patch q, k or z, or edit a pattern with elicit.edits."
        )
    wide = tuple(dict.fromkeys((1, *widths)))
    if min(wide) < 1 or max(wide) > shape.n_layers:
        raise PatchError(
            f"widths are {tuple(widths)}, and a window holds 1 to {shape.n_layers} layers of this "
            "model. Pass widths in that range."
        )
    unknown = [name for name in controls if name not in CONTROLS]
    if unknown:
        raise PatchError(
            f"there is no control {unknown[0]!r}. Controls are {' and '.join(CONTROLS)}."
        )
    if engine not in ("lanes", "loop"):
        raise PatchError(f"there is no engine {engine!r}. Pass 'lanes' or 'loop'.")
    if execution.max_tokens < 1:
        raise PatchError(
            f"max_tokens is {execution.max_tokens}, and a run has at least 1. Pass more."
        )
    return Plan(
        host=host,
        donor=donor,
        contrast=contrast,
        host_rows=host_rows,
        donor_rows=donor_rows,
        sites=found,
        columns=resolve(positions, contrast),
        metric=tuple(metrics),
        d_vocab=pair.d_vocab,
        width=wide,
        control=tuple(controls),
        seed=seed,
        max_tokens=execution.max_tokens,
        engine=engine,
        progress=execution.progress,
    )
