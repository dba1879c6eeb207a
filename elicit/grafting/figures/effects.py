"""Figures of grafts: effects with intervals and controls, with the weight change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from elicit.grafting.roles import LayerRoles
from elicit.grafting.verdict import Verdict
from elicit.results import Estimate, figure, label, marks, number
from elicit.results.marks import BLUE, BOTH, COOL, FAINT, INK, MUTED, RULE, VERMILION, WARM
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
    tasks = shown_tasks(roles) if tasks is None else tuple(tasks)
    parts = [i for i, kind in enumerate(roles.kind) if kind in kinds]
    by_layers = tuple(kinds) == ("layer",)
    if not by_layers:
        parts.sort(key=lambda i: (roles.layer[i].item() < 0, roles.layer[i].item(), i))
    places = [int(roles.layer[i]) if by_layers else at for at, i in enumerate(parts)]
    below = change if by_layers and change is not None and (change.layer >= 0).any() else None
    sizes = [_STRIP, *[_PANEL] * len(tasks), *[_WEIGHTS] * (below is not None)]
    inner = sum(sizes) + _GAP * (len(sizes) - 1)
    figure = marks.stack(sizes, _GAP, shared="x")
    marks.style(figure, inner + _TOP + _BOTTOM, top=_TOP, legend="above")
    figure.update_layout(margin={"b": _BOTTOM})
    _strip(figure, roles, parts, places)
    for row, task in enumerate(tasks, 2):
        _effects(figure, roles, task, parts, places, row, named=row == 2)
    if below is not None:
        draw_layers(figure, below, len(sizes))
        marks.heading(figure, "Size of the weight change, relative to base", len(sizes))
    _axis(figure, roles, parts, places, len(sizes), by_layers=by_layers)
    return figure


def shown_tasks(roles: LayerRoles) -> tuple[int, ...]:
    """Indices of the tasks with a role; all if none has one."""
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
            span = {"x0": x - 0.5, "x1": x + 0.5, "y0": 0, "y1": 1, "xref": "x", "yref": "paper"}
            look = {"fillcolor": _GROUND[verdicts[i]], "line": {"width": 0}, "layer": "below"}
            figure.add_shape(type="rect", **span, **look)
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
        if effect.value.isnan().all():
            continue
        is_control = series.field.startswith("control")
        size = series.size if len(parts) <= 24 else series.size * 0.7
        trace = marks.points(
            [x + series.offset for x in places],
            effect,
            series.color,
            marks.hovers("", [roles.part[i] for i in parts], effect),
            marker={"symbol": series.symbol, **marks.hollow(series.color, effect.clear, size)},
            error=marks.bars(
                effect,
                series.color,
                thickness=1 if is_control else 1.8,
                width=0 if is_control else 3,
            ),
        )
        look = {"legendgroup": series.field, "legendrank": 10, "showlegend": named}
        look |= {"hovertemplate": f"%{{text}}<br>{series.name}<extra></extra>"}
        figure.add_trace(trace | {"name": series.name, **look}, row=row, col=1)
    # Lines go in after the marks: plotly draws none in a panel that is still empty.
    marks.level(figure, 0, INK, row=row)
    gap = roles.gap.value[task].item()
    if roles.role[task] != "none":
        for y in (gap, -gap):
            marks.level(figure, y, MUTED, dash="dash", row=row)
    marks.heading(figure, _title(roles, task), row)
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
    names = marks.ticks([label(roles.part[i], 16) for i in parts], turned=len(parts) > 14)
    figure.update_xaxes(names, automargin=True)
    last = [at for at, i in enumerate(parts) if roles.layer[i].item() < 0]
    if last and last[0]:
        marks.level(figure, last[0] - 0.5, RULE, upright=True)
