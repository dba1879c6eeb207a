"""Figures of steering by strength and by arm, and of the shares that mechanisms close."""

import math
from collections.abc import Sequence
from typing import Any

from elicit.elicitation.bench import SEES
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.goal import TARGET, UNSTEERED
from elicit.elicitation.mechanism import Mechanism
from elicit.results import Estimate, figure, interval, label, marks
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION

_DASHES = ("dash", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")


@figure.register
def curve_figure(found: DoseCurve) -> Any:
    """Rate and coherence over strengths, controls in grey; for one strength, by arm."""
    return (arms_figure if len(found.strength) == 1 else dose_figure)(found)


def dose_figure(found: DoseCurve, metric: str | None = None) -> Any:
    """Rate and coherence over strengths: the tested arm in colour, its controls in grey.

    `metric`: name of a metric; None takes the first.

    Raises:
        ElicitationError: The metric was not measured.
    """
    row = found.metric_row(metric)
    figure = marks.panels(2, heights=[0.6, 0.4], gaps=(0.16, None), shared="x")
    # Controls first, so that what is under test is drawn over them.
    for arm in [*range(1, len(found.arm)), 0]:
        _line(figure, found, arm, found.rate[row, arm], panel=1)
        _line(figure, found, arm, found.log_prob[arm], panel=2)
    _name_strongest(figure, found, row)
    _references(figure, found, row)
    marks.level(figure, found.unsteered_log_prob, MUTED, dash="dot", row=2)
    marks.style(figure, 520, top=92, legend="above")
    what = f"<b>{label(found.metric[row])}</b> of {label(found.model)}, {found.n_problems} problems"
    where = f"steered at {label(found.site)}, {label(found.steered_tokens)}"
    marks.heading(figure, f"{what}, {where}", 1)
    marks.heading(figure, "steered text under the unsteered model", 2)
    figure.update_yaxes(title={"text": "rate"}, range=[-0.03, 1.05], row=1, col=1)
    figure.update_yaxes(title={"text": "log-prob a token, nats"}, row=2, col=1)
    figure.update_xaxes(title={"text": "strength"}, row=2, col=1)
    return figure


def _name_strongest(figure: Any, found: DoseCurve, row: int) -> None:
    """The name of the control with the largest effect, where it has it: all others are grey too."""
    controls = [place for place, kind in enumerate(found.kind) if kind == "control"]
    if not controls:
        return
    rates = found.rate.value[row, controls]
    moved = (rates - found.unsteered[row]) * (1 if found.raised else -1)
    at, dose = divmod(int(moved.argmax()), rates.shape[1])
    if moved[at, dose] <= 0:
        return
    x, y = found.strength[dose].item(), rates[at, dose].item()
    place = {"xanchor": "right" if x == found.strength.max() else "left", "yanchor": "top"}
    look = {"showarrow": False, "yshift": -6, "font": {"size": 12, "color": MUTED}}
    name = label(found.arm[controls[at]], 30)
    figure.add_annotation(place | look, x=x, y=y, text=name, row=1, col=1)


def _references(figure: Any, found: DoseCurve, row: int) -> None:
    """Unsteered references, as horizontal lines."""
    ends = [0.0, *found.strength.tolist()]
    known = {UNSTEERED: (MUTED, "dot"), TARGET: (INK, "dot")}
    for place, name in enumerate(found.reference):
        color, dash = known.get(name, (MUTED, _DASHES[place % len(_DASHES)]))
        three = found.reference_rate[row, place].ends
        figure.add_scatter(
            x=[min(ends), max(ends)],
            y=marks.plain_numbers([three[0]] * 2),
            mode="lines",
            line={"color": color, "width": 1.5, "dash": dash},
            text=[f"{label(name)}: {interval(*three)}"] * 2,
            hovertemplate="%{text}<extra></extra>",
            name=f"{label(name)} {three[0]:.2f}",
            row=1,
            col=1,
        )


def _line(figure: Any, found: DoseCurve, arm: int, line: Estimate, *, panel: int) -> None:
    """One arm with its intervals in one panel."""
    order = found.strength.argsort()
    estimate, strengths = line[order], found.strength[order].tolist()
    tested, kind = arm == 0, found.kind[arm]
    color = {"steered": BLUE, "baseline": VERMILION}.get(kind, FAINT)
    name = "controls of equal norm" if kind == "control" else label(found.arm[arm])
    places = [f"{strength:g}" for strength in strengths]
    hover = marks.hovers(f"{label(found.arm[arm])}<br>strength ", places, estimate)
    symbol = "circle" if tested else _SYMBOLS[arm % len(_SYMBOLS)]
    marker = {"size": 7 if tested else 5, "symbol": symbol}
    trace = marks.points(strengths, estimate, color, hover, marker=marker, line="solid")
    trace |= {
        "line": {"color": color, "width": 1 if kind == "control" else 2},
        "name": name,
        "legendgroup": name,
        "showlegend": panel == 1 and (kind != "control" or arm == found.kind.index("control")),
    }
    figure.add_trace(trace, row=panel, col=1)


def arms_figure(found: DoseCurve, metric: str | None = None) -> Any:
    """Rate of every arm at the first strength with its interval, and of unsteered references.

    `metric`: name of a metric; None takes the first.

    Raises:
        ElicitationError: The metric was not measured.
    """
    row = found.metric_row(metric)
    looks = {
        "steered": ("steered", BLUE, "circle"),
        "baseline": ("baseline", VERMILION, "diamond"),
        "control": ("control", MUTED, "circle-open"),
        "not steered": ("other prompt, or unsteered", INK, "line-ns-open"),
    }
    shown = [(kind, found.arm[i], found.rate[row, i, 0]) for i, kind in enumerate(found.kind)]
    rates = found.reference_rate[row]
    shown += [("not steered", name, rates[i]) for i, name in enumerate(found.reference)]
    figure, names = marks.blank(), []
    for kind, (name, color, symbol) in looks.items():
        own = [(arm, rate) for one, arm, rate in shown if one == kind]
        if not own:
            continue
        rates = Estimate.stack([rate for _, rate in own])
        hover = marks.hovers("", [arm for arm, _ in own], rates)
        places = [len(names) + i for i in range(len(own))]
        marker = {"color": color, "symbol": symbol, "size": 10, "line": {"width": 2}}
        trace = marks.points(places, rates, color, hover, marker=marker, across=True)
        figure.add_trace(trace | {"name": name})
        names += [label(arm, 44) for arm, _ in own]
    for at, color in ((found.unsteered[row], FAINT), (found.goal[row], INK)):
        if at == at:
            marks.level(figure, at.item(), color, dash="dot", upright=True)
    marks.style(figure, 26 * len(names) + 130, top=64).update_layout(margin={"b": 56})
    figure.update_xaxes(title={"text": label(f"rate: {found.metric[row]}")}, range=[-0.03, 1.05])
    rows = {"tickvals": list(range(len(names))), "ticktext": names}
    figure.update_yaxes(rows, range=[len(names) - 0.4, -0.6], showgrid=False)
    return figure


_SEEN = {
    "nothing": (BLUE, "circle"),
    "answers": ("#009e73", "square"),
    "teacher": ("#b57d00", "triangle-up"),
    "post texts": (VERMILION, "diamond"),
    "post weights": ("#cc79a7", "x"),
}
"""Colour and mark of what a mechanism was told."""
_HALF = "#d0d7de"
"""Line at half of the gap, from which on a mechanism counts as having closed most of it."""
_NEAR = 0.2
"""Mechanisms this close in the logarithm of their bits stand beside each other."""
_WIDEST = (-1.0, 2.0)
"""Shares beyond these are drawn at the edge; tables have them."""


@figure.register
def mechanism_figure(found: Mechanism) -> Any:
    """Shares of the gap that one mechanism closes, greedily and at temperature 1."""
    return shares_figure([found])


def bits_figure(found: Sequence[Mechanism]) -> Any:
    """Share of the gap of every mechanism over the bits that it was told; controls without names.

    `found`: mechanisms tried on one pair; those without a share are left out.
    """
    figure, places = marks.blank(), _places(found)
    for sees, control in ((s, c) for c in (True, False) for s in SEES):
        own = [i for i in places if found[i].sees == sees and found[i].control == control]
        if not own:
            continue
        color, symbol = (MUTED, f"{_SEEN[sees][1]}-open") if control else _SEEN[sees]
        shares = Estimate.stack([_drawn(found[i].share) for i in own])
        trace = marks.points(
            [places[i] for i in own],
            shares,
            color,
            [_hover(found[i]) for i in own],
            marker={"color": color, "symbol": symbol, "size": 10, "line": {"width": 1.5}},
        )
        name = f"{sees}, control" if control else sees
        figure.add_trace(trace | {"name": name})
    for at, color in ((0.0, FAINT), (0.5, _HALF), (1.0, INK)):
        marks.level(figure, at, color, dash="dot")
    marks.style(figure, 520, top=64, legend="above")
    for i, x in places.items():
        if not found[i].control:
            figure.add_annotation(
                x=x,
                y=_drawn(found[i].share).high.item(),
                text=label(found[i].name, 18),
                textangle=-90,
                xanchor="center",
                yanchor="bottom",
                yshift=3,
                showarrow=False,
                font={"size": 11, "color": INK},
            )
    largest = max((found[i].bits for i in places), default=1.0)
    powers = [0, *range(1, math.ceil(math.log10(1 + max(largest, 1.0))) + 1)]
    names = ["0" if not power else f"10{str(power).translate(_RAISED)}" for power in powers]
    figure.update_xaxes(
        title={"text": "bits of supervision, at most"},
        tickvals=powers,
        ticktext=names,
        range=[-0.8, powers[-1] + 0.5],
    )
    low, high = _span(found)
    # Room for names, which stand upright above the intervals.
    span = [low, high + 0.35 * (high - low)]
    figure.update_yaxes(title={"text": "share of the gap"}, range=span)
    return figure


def shares_figure(found: Sequence[Mechanism]) -> Any:
    """Share of the gap of every mechanism, one a row: filled greedy texts, small temperature 1.

    `found`: mechanisms tried on one pair, from top to bottom.
    """
    figure = marks.blank()
    names = [label(one.name, 40) for one in found]
    for sees, control in ((s, c) for c in (True, False) for s in SEES):
        own = [i for i, m in enumerate(found) if m.sees == sees and m.control == control]
        if not own:
            continue
        color, symbol = (MUTED, f"{_SEEN[sees][1]}-open") if control else _SEEN[sees]
        trace = marks.points(
            own,
            Estimate.stack([_drawn(found[i].share) for i in own]),
            color,
            [_hover(found[i]) for i in own],
            marker={"color": color, "symbol": symbol, "size": 10, "line": {"width": 1.5}},
            across=True,
        )
        figure.add_trace(trace | {"name": f"{sees}, control" if control else sees})
    sampled = Estimate.stack([_drawn(one.share_sampled) for one in found])
    at = [i + 0.28 for i in range(len(found))]
    hover = marks.hovers("", [f"{one.name}, temperature 1" for one in found], sampled)
    small = {"color": FAINT, "symbol": "circle", "size": 5}
    trace = marks.points(at, sampled, FAINT, hover, marker=small, across=True)
    figure.add_trace(trace | {"name": "temperature 1"})
    for at_, color in ((0.0, FAINT), (0.5, _HALF), (1.0, INK)):
        marks.level(figure, at_, color, dash="dot", upright=True)
    marks.style(figure, 30 * len(names) + 140, top=72, legend="above")
    rows = {"tickvals": list(range(len(names))), "ticktext": names}
    figure.update_yaxes(rows, range=[len(names) - 0.3, -0.6], showgrid=False)
    figure.update_xaxes(title={"text": "share of the gap"}, range=_span(found))
    return figure


_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _places(found: Sequence[Mechanism]) -> dict[int, float]:
    """Where each mechanism that has a share stands: the logarithm of its bits, none on another."""
    known = [i for i, one in enumerate(found) if not math.isnan(one.share.value.item())]
    logs = {i: math.log10(1 + found[i].bits) for i in known}
    groups: list[list[int]] = []
    for i in sorted(known, key=lambda i: (logs[i], i)):
        if groups and logs[i] - logs[groups[-1][0]] < _NEAR:
            groups[-1].append(i)
        else:
            groups.append([i])
    return {
        i: logs[group[0]] + 0.16 * (k - (len(group) - 1) / 2)
        for group in groups
        for k, i in enumerate(group)
    }


def _drawn(share: Estimate) -> Estimate:
    """A share within what is drawn."""
    return share.map(lambda ends: ends.clamp(*_WIDEST))


def _span(found: Sequence[Mechanism]) -> list[float]:
    ends = [end for one in found for end in _drawn(one.share).ends if not math.isnan(end)]
    return [min([-0.1, *ends]) - 0.05, max([1.1, *ends]) + 0.05]


def _hover(found: Mechanism) -> str:
    """What a mark says."""
    control = ", a control" if found.control else ""
    told = f"supervision: {label(found.sees)}, at most {found.bits:,.0f} bits{control}"
    return f"{label(found.name)}: {interval(*found.share.ends)}<br>{told}<br>{label(found.setting)}"
