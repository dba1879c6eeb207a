"""Patching findings in sentences: where a difference enters, and how controls compare."""

from collections.abc import Sequence

import torch

from elicit.page.patching.names import (
    CONTROLS,
    metric_text,
    percent_text,
    pos_text,
    run_text,
    site_text,
)
from elicit.page.patching.verdict import patch_verdict
from elicit.patching import MARGINS, Factorial, PatchGrid, Peak
from elicit.results import Result, interval, number
from elicit.sites import RESIDUAL_KINDS

_MORE, _HALF, _LITTLE = 1.5, 0.5, 0.1
"""Shares of the gap: above the first, steps cancel; from half on, most enters at one layer; below a
tenth the effect is small."""


def patch_sentences(results: Sequence[Result]) -> list[str]:
    """The verdict, one sentence per sweep, then one per factorial."""
    said = [told] if (told := patch_verdict(results)) else []
    said += [finding(result) for result in results if isinstance(result, PatchGrid)]
    return said + [split_sentence(result) for result in results if isinstance(result, Factorial)]


def finding(grid: PatchGrid, metric: str | None = None) -> str:
    """Where the difference enters, in one or two sentences.

    Raises:
        PatchError: The metric was not read.
    """
    row = grid.metric_row(metric)
    name = metric_text(grid.metric[row])
    gap = interval(*grid.gap[row].ends, digits=2)
    if not grid.gap_clear[row]:
        return _capital(
            f"{name} does not clearly differ between {run_text(grid.host)} and "
            f"{run_text(grid.donor)} (gap {gap}), so "
            f"there is no difference to locate.{_broken(grid, row)}"
        )
    lacking, peak = grid.lacking(metric), grid.candidate(metric)
    if lacking == "margin":
        return (
            f"Nothing found: {name} of {run_text(grid.host)} and {run_text(grid.donor)} differs by "
            f"{gap} {grid.unit[row]}, not clearly more than {number(grid.margin[row].item())}, the "
            "margin from which on a difference is located."
        )
    if peak is None:
        return f"{putting(grid)} changes {name} nowhere: every effect is exactly 0."
    cell = (row, grid.site.index(peak.site), grid.pos.index(peak.pos))
    where = f"{site_text(peak.site, grid.kind[cell[1]])}, {pos_text(peak.pos)},"
    if lacking:
        n_cells = len(grid.site) * len(grid.pos)
        least = number(grid.detectable[row].item(), digits=2)
        why = (
            f"changes {name} by no step whose interval, simultaneous over all {n_cells} cells, "
            "excludes 0"
            if lacking == "step"
            else f"changes {name} most at {where} and by no more than noise of equal norm may"
        )
        return (
            f"Nothing found: {putting(grid)} {why} (gap {gap}). A step of {least} {grid.unit[row]} "
            "would likely have been seen; the effect cannot be localised."
        )
    effect = interval(*peak.effect.ends, digits=2)
    value = peak.share.ends[0]
    share = f", {percent_text(value)}" if value == value else ""
    if peak.share.ends[1] == peak.share.ends[1]:
        share = f"{share} [{percent_text(peak.share.ends[1])}, {percent_text(peak.share.ends[2])}]"
    said = (
        f"{putting(grid)} at {where} changes {name} by {effect} {grid.unit[row]}"
        f"{f'{share} of the gap' if share else ''}"
    )
    return f"{said}{_layer_clause(grid, row, peak)}{_elsewhere(grid, cell)}."


def _broken(grid: PatchGrid, row: int) -> str:
    """Explanation of patch effects between runs with equal output."""
    if not grid.effect[0, row].clear.any():
        return ""
    return (
        " Patches still change it: the runs agree in output but not in activations (for instance, "
        "the models use different bases), so mixing them is off-distribution."
    )


def _layer_clause(grid: PatchGrid, row: int, peak: Peak) -> str:
    """Whether most of the effect enters at one layer; empty for a component."""
    if peak.kind not in RESIDUAL_KINDS:
        return ""
    share = peak.step.ends[0] / grid.gap.value[row].item()
    step = interval(*peak.step.ends, digits=2)
    layer = f"layer {peak.layer}" if peak.layer >= 0 else "the embedding"
    if share > _MORE:
        return (
            f"; the largest step, at {layer}, is {step}, more than the whole gap: layers before or "
            "after it act in the opposite direction"
        )
    if share >= _HALF:
        return f"; most of it enters at {layer}"
    return f"; no single layer contributes half of it: the largest step, at {layer}, is {step}"


def _elsewhere(grid: PatchGrid, cell: tuple[int, int, int]) -> str:
    """The largest effect at another position."""
    row, _, pos = cell
    if len(grid.pos) == 1:
        return ""
    others = torch.tensor([p != pos for p in range(len(grid.pos))])
    effect = grid.effect[0, row].map(lambda end: torch.where(others, end, 0.0))
    if not effect.clear.any():
        return f", and no other of {_positions(grid)} has an effect whose interval excludes 0"
    gap = grid.gap.value[row].item()
    reach = torch.maximum(effect.low.abs(), effect.high.abs()).max().item() / abs(gap)
    if reach <= _LITTLE:
        most = percent_text(reach)
        return f", and no other of {_positions(grid)} changes it by more than {most} of the gap"
    at, p = divmod(int(effect.value.abs().argmax()), len(grid.pos))
    share = percent_text(effect.value[at, p].item() / gap)
    return (
        f"; elsewhere the largest effect is at {pos_text(grid.pos[p])}, {share} of the gap at "
        f"{site_text(grid.site[at], grid.kind[at])}"
    )


def _positions(grid: PatchGrid) -> str:
    """Number of positions swept, which need not cover the prompt."""
    return f"the {len(grid.pos)} positions swept"


def control_sentence(grid: PatchGrid, metric: str | None = None) -> str:
    """Comparison of the peak effect with the controls; empty if there is no peak.

    Raises:
        PatchError: The metric was not read.
    """
    row, peak = grid.metric_row(metric), grid.candidate(metric)
    if peak is None or grid.lacking(metric) not in (None, "noise"):
        return ""
    cell = (row, grid.site.index(peak.site), grid.pos.index(peak.pos))
    ran = {
        name: interval(*ends, digits=2)
        for name in CONTROLS
        if (ends := getattr(grid, name)[cell].ends)[0] == ends[0]
    }
    if not ran:
        return "No control was run, so the effect of an arbitrary perturbation is not known."
    where = f"At {site_text(peak.site, peak.kind)}, {pos_text(peak.pos)},"
    if grid.above_control[cell] and grid.beats_noise(peak):
        each = "; ".join(f"{CONTROLS[name]}: {effect}" for name, effect in ran.items())
        return f"{where} the effect exceeds that of the controls ({each})."
    if "noise" in ran and not grid.beats_noise(peak):
        return (
            f"{where} the effect is not distinguishable from that of noise of equal norm "
            f"({ran['noise']}; in one problem, about {number(grid.noise_size[cell].item())}), so "
            "there is no evidence that the activation carries specific information."
        )
    said = []
    if "other_prompt" in ran:
        said.append(
            f"{where} another prompt’s activation has no clearly smaller effect "
            f"({ran['other_prompt']}): the activation may carry information common to these "
            "prompts rather than specific to one."
        )
    if "noise" in ran:
        said.append(f"Noise of equal norm has a smaller effect ({ran['noise']}).")
    return " ".join(said)


def component_sentence(grid: PatchGrid, metric: str | None = None) -> str:
    """The single component with the largest effect, if the residual stream was swept too.

    Raises:
        PatchError: The metric was not read.
    """
    row, peaks = grid.metric_row(metric), grid.peaks(metric)
    parts = [p for kind, p in peaks.items() if kind not in RESIDUAL_KINDS]
    if not parts or not {*grid.kind} & {*RESIDUAL_KINDS}:
        return ""
    top = max(parts, key=lambda peak: abs(peak.effect.ends[0]))
    kind = grid.kind[grid.site.index(top.site)]
    return (
        f"Of single components, {site_text(top.site, kind)} at {pos_text(top.pos)} has the largest "
        f"effect ({interval(*top.effect.ends, digits=2)} {grid.unit[row]})."
    )


def split_sentence(factorial: Factorial) -> str:
    """Decomposition of the gap into upstream, downstream and unembedding effects."""
    f, pos = factorial, 0
    name = metric_text(f.metric)
    gap = f.gap.value[0, pos].item()
    gap_text = interval(*f.gap[0, pos].ends, digits=2)
    low, high = f.gap[0, pos].ends[1:]
    if max(low, -high) <= MARGINS.get(f.metric, 0.0):
        return _capital(
            f"{name} of post and base does not clearly differ by more than "
            f"{number(MARGINS.get(f.metric, 0.0))} in the factorial (gap {gap_text}), "
            "so there is nothing to attribute."
        )
    wrote, head = f.wrote[:, pos] / gap, f.unembedding[:, pos] / gap
    # At the outermost boundaries one of upstream and downstream has no layers.
    inner = range(1, int(f.boundary.max()))
    sure = f.effect.clear[f.term.index("wrote"), :, pos]
    enough = [
        i
        for i, at in enumerate(f.boundary.tolist())
        if at in inner and wrote[i] >= _HALF and sure[i]
    ]
    if not enough:
        last = len(f.boundary) - 1
        unembedding = (
            f" The unembedding alone accounts for {percent_text(head[last].item())} of it."
            if abs(head[last]) >= _LITTLE
            else ""
        )
        return (
            f"At no interior boundary do post’s layers below it account for half of the "
            f"gap in {name} ({gap_text}) by themselves.{unembedding}"
        )
    at = enough[0]
    terms = {name: _term(f, name, at, pos) for name in ("wrote", "reader", "wrote:reader")}
    clear = {name: bool(f.effect.clear[f.term.index(name), at, pos]) for name in terms}
    said = (
        f"At boundary {int(f.boundary[at])} post’s layers below contribute {terms['wrote']} to the "
        f"gap of {gap_text}, its layers above {terms['reader']}, and their interaction "
        f"{terms['wrote:reader']}"
    )
    # Post with post minus either alone: an interaction as large as the gap is a signal unread.
    joint = f.interaction[at, pos].item() / gap
    if clear["wrote"] and (not clear["wrote:reader"] or abs(joint) <= _LITTLE):
        return f"{said}: post writes a signal that base’s layers can read."
    if clear["wrote"] and clear["wrote:reader"] and joint >= _HALF:
        return f"{said}: reading the signal largely requires post’s layers."
    return f"{said}."


def _term(f: Factorial, name: str, at: int, pos: int) -> str:
    return interval(*f.effect[f.term.index(name), at, pos].ends, digits=2)


def putting(grid: PatchGrid) -> str:
    """Subject phrase for a sweep."""
    if grid.question == "across":
        return f"Patching {grid.donor}’s activations into {grid.host}"
    (model, _, host), (_, _, donor) = grid.host.partition(", "), grid.donor.partition(", ")
    return f"Patching {model}’s activations on the {donor} into its run on the {host}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
