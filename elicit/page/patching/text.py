"""What a patching sweep says in words: where the difference comes in, and what the controls do."""

from collections.abc import Sequence

import torch

from elicit.patching import Factorial, PatchGrid, Peak
from elicit.results import Result
from elicit.results.drawing import interval, number
from elicit.sites import RESIDUAL_KINDS

METRICS = {
    "logit_diff": "the logit difference",
    "log_prob": "the answer’s log-probability",
    "probability": "the answer’s probability",
    "kl": "the divergence from the donor",
}
CONTROLS = {"other_prompt": "another prompt’s activation", "noise": "noise of equal norm"}
_KINDS = {
    "resid_pre": "the residual stream before layer {}",
    "resid_mid": "the residual stream between attention and MLP of layer {}",
    "resid_post": "the residual stream after layer {}",
    "attn_out": "the attention output of layer {}",
    "mlp_out": "the MLP output of layer {}",
    "z": "the heads’ outputs of layer {}",
    "q": "the queries of layer {}",
    "k": "the keys of layer {}",
    "v": "the values of layer {}",
}
_MORE, _HALF, _LITTLE = 1.5, 0.5, 0.1
"""Shares of the gap: beyond the first, steps cancel; from half on a layer brings most of it in;
below a tenth it is little."""


def patch_sentences(results: Sequence[Result]) -> list[str]:
    """What the sweeps and factorials among some results found, one after the other.

    Args:
        results: Results of any kind.
    """
    told = [finding(result) for result in results if isinstance(result, PatchGrid)]
    return told + [split_sentence(result) for result in results if isinstance(result, Factorial)]


def finding(grid: PatchGrid, metric: str | None = None) -> str:
    """Where a sweep finds the difference, in one or two sentences.

    Args:
        grid: A sweep.
        metric: Name of a metric; None takes the first.

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
            "there is nothing that a patch could carry over, and no place is named."
            f"{_broken(grid, row)}"
        )
    peak = grid.peak(metric)
    if peak is None:
        return f"{putting(grid)} changes {name} nowhere: every effect is exactly 0."
    cell = (row, grid.site.index(peak.site), grid.pos.index(peak.pos))
    if not peak.clear:
        n_cells = len(grid.site) * len(grid.pos)
        return (
            f"{putting(grid)} moves {name} by no step that is clear of 0 jointly over all "
            f"{n_cells} cells, of a gap of {gap}: no place can be named."
        )
    effect = interval(*peak.effect.ends, digits=2)
    share = _percent(grid.share.value[0, *cell].item())
    told = (
        f"{putting(grid)} at {site_text(peak.site, grid.kind[cell[1]])}, {pos_text(peak.pos)}, "
        f"moves {name} by {effect} {grid.unit[row]}, {share} of the gap"
    )
    return f"{told}{_layer_clause(grid, row, peak)}{_elsewhere(grid, cell)}."


def _broken(grid: PatchGrid, row: int) -> str:
    """What it means if patches move something between runs that agree."""
    if not grid.effect[0, row].clear.any():
        return ""
    return (
        " Patches still move it: the two runs agree at the end and not on the way, as where one "
        "model writes in another basis, so mixing them breaks both."
    )


def _layer_clause(grid: PatchGrid, row: int, peak: Peak) -> str:
    """Whether one layer brings most of it in; components stand for themselves."""
    if peak.kind not in RESIDUAL_KINDS:
        return ""
    share = peak.step.ends[0] / grid.gap.value[row].item()
    step = interval(*peak.step.ends, digits=2)
    layer = f"layer {peak.layer}" if peak.layer >= 0 else "the embedding"
    if share > _MORE:
        return (
            f"; the largest step, at {layer}, is {step}, more than the whole gap: layers before or "
            "after it move the other way"
        )
    if share >= _HALF:
        return f"; most of it comes in at {layer}"
    return f"; no single layer brings in half of it: the largest step, at {layer}, is {step}"


def _elsewhere(grid: PatchGrid, cell: tuple[int, int, int]) -> str:
    """What the other positions do, at whatever site."""
    row, _, pos = cell
    if len(grid.pos) == 1:
        return ""
    others = torch.tensor([p != pos for p in range(len(grid.pos))])
    effect = grid.effect[0, row].map(lambda end: torch.where(others, end, 0.0))
    if not effect.clear.any():
        return f", and no other of {_positions(grid)} has an effect clear of 0"
    gap = grid.gap.value[row].item()
    reach = torch.maximum(effect.low.abs(), effect.high.abs()).max().item() / abs(gap)
    if reach <= _LITTLE:
        most = _percent(reach)
        return f", and no other of {_positions(grid)} moves it by more than {most} of the gap"
    at, p = divmod(int(effect.value.abs().argmax()), len(grid.pos))
    share = _percent(effect.value[at, p].item() / gap)
    return (
        f"; elsewhere the largest effect is at {pos_text(grid.pos[p])}, {share} of the gap at "
        f"{site_text(grid.site[at], grid.kind[at])}"
    )


def _positions(grid: PatchGrid) -> str:
    """The positions that were swept, which need not be all of every prompt."""
    return f"the {len(grid.pos)} positions swept"


def control_sentence(grid: PatchGrid, metric: str | None = None) -> str:
    """What the controls say of the cell that the sweep is told by; empty where there is none.

    Args:
        grid: A sweep.
        metric: Name of a metric; None takes the first.

    Raises:
        PatchError: The metric was not read.
    """
    row, peak = grid.metric_row(metric), grid.peak(metric)
    if peak is None or not peak.clear or not grid.gap_clear[row]:
        return ""
    cell = (row, grid.site.index(peak.site), grid.pos.index(peak.pos))
    ran = {
        name: interval(*ends, digits=2)
        for name in CONTROLS
        if (ends := getattr(grid, name)[cell].ends)[0] == ends[0]
    }
    if not ran:
        return "No control was run, so what any other activation would do is not known."
    where = f"At {site_text(peak.site, peak.kind)}, {pos_text(peak.pos)},"
    if grid.above_control[cell]:
        told = "; ".join(f"{CONTROLS[name]}: {said}" for name, said in ran.items())
        return f"{where} the effect goes beyond that of the controls ({told})."
    if "noise" in ran and not grid.above_noise[cell]:
        return (
            f"{where} the effect cannot be told apart from that of noise of equal norm "
            f"({ran['noise']}), so it does not show that anything specific is carried."
        )
    said = []
    if "other_prompt" in ran:
        said.append(
            f"{where} another prompt’s activation does not do clearly less "
            f"({ran['other_prompt']}): what is carried may be common to these prompts and not what "
            "one of them says."
        )
    if "noise" in ran:
        said.append(f"Noise of equal norm does clearly less ({ran['noise']}).")
    return " ".join(said)


def component_sentence(grid: PatchGrid, metric: str | None = None) -> str:
    """Which component alone does most, where the stream was swept beside components.

    Args:
        grid: A sweep.
        metric: Name of a metric; None takes the first.

    Raises:
        PatchError: The metric was not read.
    """
    row, peaks = grid.metric_row(metric), grid.peaks(metric)
    if not grid.gap_clear[row]:
        return ""
    parts = [p for kind, p in peaks.items() if kind not in RESIDUAL_KINDS and p.clear]
    if not parts or len(parts) == len(peaks):
        return ""
    top = max(parts, key=lambda peak: abs(peak.effect.ends[0]))
    kind = grid.kind[grid.site.index(top.site)]
    return (
        f"Alone, no component does more than {site_text(top.site, kind)} at {pos_text(top.pos)} "
        f"({interval(*top.effect.ends, digits=2)} {grid.unit[row]})."
    )


def split_sentence(factorial: Factorial) -> str:
    """How a factorial divides the gap between writing, reading and the unembedding.

    Args:
        factorial: Effects at every boundary.
    """
    f, pos = factorial, 0
    name = metric_text(f.metric)
    gap = f.gap.value[0, pos].item()
    told_gap = interval(*f.gap[0, pos].ends, digits=2)
    if not f.gap[0, pos].clear:
        return _capital(
            f"{name} of post and base does not clearly differ in the factorial (gap {told_gap}), "
            "so there is nothing to divide."
        )
    wrote, head = f.wrote[:, pos] / gap, f.unembedding[:, pos] / gap
    # With no layers below, or none above, there is nothing to write, or nobody to read.
    inner = range(1, int(f.boundary.max()))
    enough = [i for i, at in enumerate(f.boundary.tolist()) if at in inner and wrote[i] >= _HALF]
    if not enough:
        last = len(f.boundary) - 1
        unembedding = (
            f" The unembedding alone brings {_percent(head[last].item())} of it."
            if abs(head[last]) >= _LITTLE
            else ""
        )
        return (
            f"At no boundary inside the model do post’s layers below it bring half of the gap in "
            f"{name} ({told_gap}) by themselves.{unembedding}"
        )
    at = enough[0]
    terms = {name: _term(f, name, at, pos) for name in ("wrote", "reader", "wrote:reader")}
    clear = {name: bool(f.effect.clear[f.term.index(name), at, pos]) for name in terms}
    told = (
        f"At boundary {int(f.boundary[at])} post’s layers below bring {terms['wrote']} of the gap "
        f"of {told_gap}, its layers above {terms['reader']}, and both together "
        f"{terms['wrote:reader']} more than one by one"
    )
    # Post with post minus either alone: an interaction as large as the gap is a signal unread.
    joint = f.interaction[at, pos].item() / gap
    if clear["wrote"] and (not clear["wrote:reader"] or abs(joint) <= _LITTLE):
        return f"{told}: post wrote a signal that base’s own layers can read."
    if clear["wrote"] and clear["wrote:reader"] and joint >= _HALF:
        return f"{told}: much of the signal needs post’s own layers to be read."
    return f"{told}."


def _term(f: Factorial, name: str, at: int, pos: int) -> str:
    return interval(*f.effect[f.term.index(name), at, pos].ends, digits=2)


def putting(grid: PatchGrid) -> str:
    """What a sweep does, as the subject of a sentence.

    Args:
        grid: A sweep.
    """
    if grid.question == "across":
        return f"Putting {grid.donor}’s activations into {grid.host}"
    (model, _, host), (_, _, donor) = grid.host.partition(", "), grid.donor.partition(", ")
    return f"Putting {model}’s activations on the {donor} into its run on the {host}"


def run_text(name: str) -> str:
    """A run inside a sentence.

    Args:
        name: As `PatchGrid.host` and `PatchGrid.donor` have it.

    >>> run_text("base"), run_text("base, clean prompt")
    ('base', 'base on the clean prompt')
    """
    model, comma, prompt = name.partition(", ")
    return f"{model} on the {prompt}" if comma else model


def metric_text(metric: str) -> str:
    """A metric inside a sentence.

    Args:
        metric: As results name it.
    """
    return METRICS.get(metric, metric)


def site_text(site: str, kind: str) -> str:
    """A site inside a sentence.

    Args:
        site: Its name.
        kind: Its kind.

    >>> site_text("resid_post.3", "resid_post"), site_text("z.3.1", "z")
    ('the residual stream after layer 3', 'head 1 of layer 3 (z)')
    """
    pieces = site.split(".")
    if len(pieces) == 3:
        return f"head {pieces[2]} of layer {pieces[1]} ({kind})"
    return _KINDS[kind].format(pieces[1]) if len(pieces) == 2 and kind in _KINDS else site


def pos_text(pos: str) -> str:
    """A position's label inside a sentence.

    Args:
        pos: As a grid labels it.

    >>> pos_text("-1 A"), pos_text("all"), pos_text("4")
    ('position −1 “A”', 'all positions at once', 'position 4')
    """
    if pos == "all":
        return "all positions at once"
    place, space, word = pos.partition(" ")
    if not place.lstrip("-").isdigit():
        return f"“{pos}”"
    return f"position {place.replace('-', '−')}" + (f" “{word}”" if space else "")


def _percent(share: float) -> str:
    """A share of the gap in percent; small ones are not rounded to nothing."""
    value = 100 * share
    return f"{number(value, digits=0 if abs(value) >= 9.5 else 1)} %"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
