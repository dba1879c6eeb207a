"""Figures of steering: rates and coherence over strengths, and by arm at one strength."""

from typing import Any

from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.goal import TARGET, UNSTEERED
from elicit.results import Estimate, drawing
from elicit.results.drawing import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    VERMILION,
    bars,
    heading,
    interval,
    label,
    plain_numbers,
    style,
)

_DASHES = ("dash", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")


@drawing.figure.register
def curve_figure(found: DoseCurve) -> Any:
    """Rate and coherence over strengths, controls in grey; for one strength, by arm."""
    return (arms_figure if len(found.strength) == 1 else dose_figure)(found)


def dose_figure(found: DoseCurve, metric: str | None = None) -> Any:
    """Rate and coherence over strengths: the tested arm in colour, its controls in grey.

    `metric`: name of a metric; None takes the first.

    Raises:
        ElicitationError: The metric was not measured.
    """
    from plotly.subplots import make_subplots

    row = found.metric_row(metric)
    figure = make_subplots(
        rows=2, cols=1, row_heights=[0.6, 0.4], vertical_spacing=0.16, shared_xaxes=True
    )
    # Controls first, so that what is under test is drawn over them.
    for arm in [*range(1, len(found.arm)), 0]:
        _line(figure, found, arm, found.rate[row, arm], panel=1)
        _line(figure, found, arm, found.log_prob[arm], panel=2)
    _references(figure, found, row)
    line = {"color": MUTED, "width": 1, "dash": "dot"}
    figure.add_hline(y=found.unsteered_log_prob, line=line, row=2, col=1)  # pyright: ignore[reportArgumentType]
    style(figure, 520).update_layout(margin={"t": 92})
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    what = f"<b>{label(found.metric[row])}</b> of {label(found.model)}, {found.n_problems} problems"
    heading(figure, f"{what}, written at {label(found.site)}, {label(found.where)}", 1)
    heading(figure, "steered text under the unsteered model", 2)
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
            y=plain_numbers([three[0]] * 2),
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
    ordered = line[order]
    value, low, high = (ends.tolist() for ends in (ordered.value, ordered.low, ordered.high))
    order = order.tolist()
    tested, kind = arm == 0, found.kind[arm]
    color = {"steered": BLUE, "baseline": VERMILION}.get(kind, FAINT)
    name = "controls, as hard a push" if kind == "control" else label(found.arm[arm])
    figure.add_scatter(
        x=[found.strength[place].item() for place in order],
        y=plain_numbers(value),
        error_y=bars(value, low, high, color),
        mode="lines+markers",
        line={"color": color, "width": 1 if kind == "control" else 2},
        marker={
            "size": 7 if tested else 5,
            "symbol": "circle" if tested else _SYMBOLS[arm % len(_SYMBOLS)],
        },
        text=[
            f"{label(found.arm[arm])}<br>strength {found.strength[place]:g}: {interval(*three)}"
            for place, *three in zip(order, value, low, high, strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
        name=name,
        legendgroup=name,
        showlegend=panel == 1 and (kind != "control" or arm == found.kind.index("control")),
        row=panel,
        col=1,
    )


def arms_figure(found: DoseCurve, metric: str | None = None) -> Any:
    """Rate of every arm at the first strength with its interval, and of unsteered references.

    `metric`: name of a metric; None takes the first.

    Raises:
        ElicitationError: The metric was not measured.
    """
    import plotly.graph_objects as go

    row = found.metric_row(metric)
    groups: dict[str, tuple[str, str, list[tuple[str, tuple[float, float, float]]]]] = {
        "steered": (BLUE, "circle", []),
        "baseline": (VERMILION, "diamond", []),
        "control": (MUTED, "circle-open", []),
        "not steered": (INK, "line-ns-open", []),
    }
    for place, kind in enumerate(found.kind):
        groups[kind][2].append((found.arm[place], found.rate[row, place, 0].ends))
    for place, name in enumerate(found.reference):
        groups["not steered"][2].append((name, found.reference_rate[row, place].ends))
    figure, names = go.Figure(), []
    for kind, (color, symbol, rows) in groups.items():
        if not rows:
            continue
        value, low, high = (
            list(column) for column in zip(*(three for _, three in rows), strict=True)
        )
        figure.add_scatter(
            x=plain_numbers(value),
            y=[len(names) + i for i in range(len(rows))],
            error_x=bars(value, low, high, color),
            mode="markers",
            marker={"color": color, "symbol": symbol, "size": 10, "line": {"width": 2}},
            text=[f"{label(name)}: {interval(*three)}" for name, three in rows],
            hovertemplate="%{text}<extra></extra>",
            name="other prompt, or unsteered" if kind == "not steered" else kind,
        )
        names += [label(name, 44) for name, _ in rows]
    for level, color in ((found.unsteered[row], FAINT), (found.goal[row], INK)):
        if level == level:
            figure.add_vline(x=level.item(), line={"color": color, "width": 1, "dash": "dot"})
    style(figure, 26 * len(names) + 130).update_layout(margin={"t": 64, "b": 56})
    figure.update_xaxes(title={"text": label(f"rate: {found.metric[row]}")}, range=[-0.03, 1.05])
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[len(names) - 0.4, -0.6],
        showgrid=False,
    )
    return figure
