"""Figures of grafts: effects with intervals and controls, with the weight change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from elicit.grafting.roles import LayerRoles
from elicit.grafting.verdict import Verdict
from elicit.results import Estimate
from elicit.results.drawing import (
    BLUE,
    BOTH,
    COOL,
    FAINT,
    INK,
    MUTED,
    RULE,
    VERMILION,
    WARM,
    figure,
    heading,
    interval,
    label,
    number,
    plain_numbers,
    style,
)
from elicit.weights import WeightChange
from elicit.weights.figures import draw_layers

_GROUND = {
    (Verdict.CORRUPTED,): WARM,
    (Verdict.SKILL,): COOL,
    (Verdict.CORRUPTED, Verdict.SKILL): BOTH,
}
_SYMBOLS = {
    Verdict.CORRUPTED: ("x", 11, INK),
    Verdict.SKILL: ("star", 13, INK),
    Verdict.CHANGED: ("circle-open", 7, MUTED),
    Verdict.UNCHANGED: ("line-ew-open", 7, FAINT),
}
_STRIP, _PANEL, _WEIGHTS, _GAP, _TOP, _BOTTOM = 26, 250, 130, 44, 76, 56


@figure.register
def effect_figure(
    roles: LayerRoles,
    *,
    tasks: Sequence[int] | None = None,
    kinds: Sequence[str] = ("layer",),
    change: WeightChange | None = None,
) -> Any:
    """Effect of moving each part both ways, with simultaneous intervals and controls.

    Args:
        roles: Effects of every part.
        tasks: Indices of tasks; None shows those with a role, or all if none has one.
        kinds: Kinds of part shown; beyond `layer`, the axis shows parts instead of layers.
        change: Weight change, drawn below on the same layers.
    """
    from plotly.subplots import make_subplots

    tasks = shown_tasks(roles) if tasks is None else tuple(tasks)
    parts = [i for i, kind in enumerate(roles.kind) if kind in kinds]
    by_layers = tuple(kinds) == ("layer",)
    if not by_layers:
        parts.sort(key=lambda i: (roles.layer[i].item() < 0, roles.layer[i].item(), i))
    places = [int(roles.layer[i]) if by_layers else at for at, i in enumerate(parts)]
    below = change if by_layers and change is not None and (change.layer >= 0).any() else None
    sizes = [_STRIP, *[_PANEL] * len(tasks), *[_WEIGHTS] * (below is not None)]
    inner = sum(sizes) + _GAP * (len(sizes) - 1)
    figure = make_subplots(
        rows=len(sizes),
        cols=1,
        shared_xaxes=True,
        row_heights=sizes,
        vertical_spacing=_GAP / inner if len(sizes) > 1 else 0,
    )
    style(figure, inner + _TOP + _BOTTOM).update_layout(margin={"t": _TOP, "b": _BOTTOM})
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    _strip(figure, roles, parts, places)
    for row, task in enumerate(tasks, 2):
        _effects(figure, roles, task, parts, places, row, named=row == 2)
    if below is not None:
        draw_layers(figure, below, len(sizes))
        heading(figure, "Size of the weight change, relative to base", len(sizes))
    _axis(figure, roles, parts, places, len(sizes), by_layers=by_layers)
    return figure


def shown_tasks(roles: LayerRoles) -> tuple[int, ...]:
    """Indices of the tasks with a role; all if none has one.

    Args:
        roles: Effects of every part.
    """
    found = tuple(t for t, role in enumerate(roles.role) if role != "none")
    return found or tuple(range(len(roles.task)))


def _strip(figure: Any, roles: LayerRoles, parts: list[int], places: list[int]) -> None:
    """Verdict of each part, as a mark and as background of all panels."""
    verdicts, reasons = roles.verdict, roles.reason
    marked: dict[tuple[Verdict, str], tuple[list[float], list[str]]] = {}
    for verdict in _SYMBOLS:
        for i, x in zip(parts, places, strict=True):
            both = verdicts[i]
            if verdict in both:
                # Two verdicts stand side by side.
                aside = 0.16 * (both.index(verdict) * 2 - 1) if len(both) > 1 else 0
                xs, names = marked.setdefault((verdict, reasons[i]), ([], []))
                xs.append(x + aside)
                names.append(label(roles.part[i]))
    for (verdict, reason), (xs, names) in marked.items():
        symbol, size, color = _SYMBOLS[verdict]
        word = f"{verdict.label}, {reason}" if reason else verdict.label
        figure.add_scatter(
            x=xs,
            y=[0] * len(xs),
            text=names,
            mode="markers",
            name=word,
            marker={"symbol": symbol, "size": size, "color": color, "line": {"color": color}},
            hovertemplate=f"%{{text}}<br>{word}<extra></extra>",
            cliponaxis=False,
            legendrank=20,
            row=1,
            col=1,
        )
    for i, x in zip(parts, places, strict=True):
        if verdicts[i] in _GROUND:
            figure.add_shape(
                type="rect",
                xref="x",
                yref="paper",
                x0=x - 0.5,
                x1=x + 0.5,
                y0=0,
                y1=1,
                fillcolor=_GROUND[verdicts[i]],
                line={"width": 0},
                layer="below",
            )
    figure.update_yaxes(visible=False, range=[-1, 1], fixedrange=True, row=1, col=1)
    figure.update_xaxes(visible=False, row=1, col=1)


@dataclass(frozen=True)
class _Series:
    """Style of one of the four effects of a task."""

    field: str
    offset: float
    color: str
    symbol: str
    size: int
    name: str


_SERIES = (
    _Series("revert", -0.24, BLUE, "circle", 9, "revert: post with base’s weights in the part"),
    _Series("control_revert", -0.11, FAINT, "circle", 5, "control of revert (difference shuffled)"),
    _Series("graft", 0.11, VERMILION, "diamond", 10, "graft: base with post’s weights in the part"),
    _Series("control_graft", 0.24, FAINT, "diamond", 6, "control of graft"),
)


def _effects(
    figure: Any,
    roles: LayerRoles,
    task: int,
    parts: list[int],
    places: list[int],
    row: int,
    *,
    named: bool,
) -> None:
    """One task's panel: effects of every part, controls, and the gap."""
    for series in _SERIES:
        effect: Estimate = getattr(roles, series.field)[task, parts]
        values, low, high = (ends.tolist() for ends in (effect.value, effect.low, effect.high))
        if all(value != value for value in values):
            continue
        texts = [
            f"{label(roles.part[i])}: {interval(*ends)}"
            for i, ends in zip(parts, zip(values, low, high, strict=True), strict=True)
        ]
        is_control = series.field.startswith("control")
        figure.add_scatter(
            x=[x + series.offset for x in places],
            y=plain_numbers(values),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": plain_numbers([b - v for b, v in zip(high, values, strict=True)]),
                "arrayminus": plain_numbers([v - a for v, a in zip(values, low, strict=True)]),
                "color": series.color,
                "thickness": 1 if is_control else 1.8,
                "width": 0 if is_control else 3,
            },
            text=texts,
            mode="markers",
            marker={
                "symbol": series.symbol,
                "size": series.size if len(parts) <= 24 else series.size * 0.7,
                "color": [series.color if sure else "white" for sure in effect.clear.tolist()],
                "line": {"color": series.color, "width": 1.5},
            },
            name=series.name,
            legendgroup=series.field,
            legendrank=10,
            showlegend=named,
            hovertemplate="%{text}<br>" + series.name + "<extra></extra>",
            row=row,
            col=1,
        )
    # Lines go in after the marks: plotly draws none in a panel that is still empty.
    figure.add_hline(y=0, line={"color": INK, "width": 1}, row=row, col=1)  # pyright: ignore
    gap = roles.gap.value[task].item()
    if roles.role[task] != "none":
        for y in (gap, -gap):
            dashes = {"color": MUTED, "width": 1, "dash": "dash"}
            figure.add_hline(y=y, line=dashes, row=row, col=1)  # pyright: ignore
    heading(figure, _title(roles, task), row)
    figure.update_yaxes(
        title={"text": f"effect, {label(roles.unit[task], 28)}"},
        range=_range(roles, task, parts),
        row=row,
        col=1,
    )


def _range(roles: LayerRoles, task: int, parts: Sequence[int]) -> list[float]:
    """Range of the y axis, symmetric about 0 and wide enough that noise looks small."""
    effects = [getattr(roles, series.field)[task, parts] for series in _SERIES]
    values = [v for each in effects for end in (each.low, each.high) for v in end.tolist()]
    gap = roles.gap.value[task].item() if roles.role[task] != "none" else 0.0
    largest = max((abs(v) for v in (*values, gap) if math.isfinite(v)), default=0.0)
    limit = 1.1 * max(largest, 2 * roles.margin) or 1.0
    return [-limit, limit]


def _title(roles: LayerRoles, task: int) -> str:
    """Title of a panel: task, gap and scores."""
    role = roles.role[task]
    said = {"damage": "post lost", "skill": "post gained"}.get(role, "no clear gap")
    base, post = roles.base_score[task].item(), roles.post_score[task].item()
    size = "" if role == "none" else f" {number(abs(roles.gap.value[task].item()), digits=2)}"
    scores = f"base {number(base, digits=2)}, post {number(post, digits=2)}"
    return f"<b>{label(roles.task[task], 28)}</b>: {said}{size} ({scores})"


def _axis(
    figure: Any,
    roles: LayerRoles,
    parts: list[int],
    places: list[int],
    rows: int,
    *,
    by_layers: bool,
) -> None:
    """Label the parts below the last panel."""
    span = [min(places, default=0) - 0.6, max(places, default=0) + 0.6]
    figure.update_xaxes(type="linear", range=span)
    for row in range(2, rows):
        figure.update_xaxes(showline=False, ticks="", row=row, col=1)
    if by_layers:
        figure.update_xaxes(dtick=1 if len(parts) <= 40 else None, row=rows, col=1)
        figure.update_xaxes(title={"text": "layer"}, row=rows, col=1)
        return
    names = [label(roles.part[i], 16) for i in parts]
    turned = -90 if len(parts) > 14 else 0
    figure.update_xaxes(tickvals=places, ticktext=names, tickangle=turned, automargin=True)
    last = [at for at, i in enumerate(parts) if roles.layer[i].item() < 0]
    if last and last[0]:
        figure.add_vline(x=last[0] - 0.5, line={"color": RULE, "width": 1})
