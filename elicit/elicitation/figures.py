"""Figures of steering: rates and coherence over strengths, and by arm at one strength."""

from typing import Any

from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.goal import TARGET, UNSTEERED
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
    _references(figure, found, row)
    marks.level(figure, found.unsteered_log_prob, MUTED, dash="dot", row=2)
    marks.style(figure, 520, top=92, legend="above")
    what = f"<b>{label(found.metric[row])}</b> of {label(found.model)}, {found.n_problems} problems"
    marks.heading(figure, f"{what}, written at {label(found.site)}, {label(found.where)}", 1)
    marks.heading(figure, "steered text under the unsteered model", 2)
    figure.update_yaxes(title={"text": "rate"}, range=[-0.03, 1.05], row=1, col=1)
    figure.update_yaxes(title={"text": "log-prob a token, nats"}, row=2, col=1)
    figure.update_xaxes(title={"text": "strength"}, row=2, col=1)
    return figure


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
    name = "controls, as hard a push" if kind == "control" else label(found.arm[arm])
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
