"""Figures of intervals of layers, interpolation, and integrated gradients."""

import math
from collections.abc import Sequence
from typing import Any

from elicit.grafting.integrated import WeightIG
from elicit.grafting.interpolation import Interpolation
from elicit.grafting.intervals import IntervalSweep
from elicit.results import Estimate, figure, interval, label, marks, number
from elicit.results.marks import BLUE, DIVERGING, FAINT, INK, MUTED, VERMILION

_DASHES = ("solid", "dash", "dot", "dashdot")


def _gap(tasks: Sequence[int]) -> float:
    return 0.3 / max(len(tasks), 1) ** 1.5


@figure.register
def interval_figure(sweep: IntervalSweep, *, tasks: Sequence[int] | None = None) -> Any:
    """Effect of reverting and grafting every contiguous interval of layers; all tasks if None."""
    tasks = range(len(sweep.task)) if tasks is None else tasks
    n = len(sweep.first)
    side = min(max(24 * n + 40, 250), 520)
    figure = marks.panels(len(tasks), 2, gaps=(_gap(tasks), 0.12))
    for row, task in enumerate(tasks, 1):
        effects = {"reverted": sweep.revert[task], "grafted": sweep.graft[task]}
        limit = max(marks.largest(effect.value) for effect in effects.values()) or 1.0
        for col, (name, effect) in enumerate(effects.items(), 1):
            hover = [[interval(*ends) for ends in marks.ends_of(effect[i])] for i in range(n)]
            told = f"layers %{{y}} to %{{x}} {name}<br>%{{customdata}}<extra></extra>"
            trace = marks.heat(effect.value.tolist(), _cells(effect, short=n <= 12), hover) | {
                "x": sweep.last.tolist(),
                "y": sweep.first.tolist(),
                "textfont": {"size": 11},
                "hovertemplate": told,
                "hoverongaps": False,
                "colorscale": DIVERGING,
                "zmin": -limit,
                "zmax": limit,
                "showscale": False,
            }
            figure.add_trace(trace, row=row, col=col)
            marks.heading(figure, f"<b>{label(sweep.task[task], 24)}</b>, {name}", row, col)
    marks.style(figure, 70 + (side + 60) * len(tasks), top=32, legend="none")
    step = 1 if n <= 16 else None
    figure.update_xaxes(dtick=step, ticks="")
    figure.update_xaxes(title={"text": "last layer"}, row=len(tasks))
    figure.update_yaxes(showgrid=False, autorange="reversed", dtick=step, ticks="")
    figure.update_yaxes(title={"text": "first layer"}, col=1)
    return figure


def _cells(effect: Estimate, *, short: bool) -> list[list[str]]:
    """Text of each cell: where its interval excludes 0, the effect or a dot."""

    def one(value: float, clear: bool) -> str:
        if value != value:
            return ""
        if not clear:
            return ""
        return number(value, sign=True, digits=2) if short else "•"

    lines = zip(effect.value.tolist(), effect.clear.tolist(), strict=True)
    return [[one(*cell) for cell in zip(*line, strict=True)] for line in lines]


@figure.register
def interpolation_figure(
    interpolation: Interpolation, *, tasks: Sequence[int] | None = None, marked: Sequence[int] = ()
) -> Any:
    """Score along the line from base to post, for the whole model and each layer alone.

    `marked` layers are highlighted and labelled; `tasks` None shows all.
    """
    tasks = range(len(interpolation.task)) if tasks is None else tasks
    layered = any(interpolation.layer_score[task].isfinite().any() for task in tasks)
    figure = marks.panels(len(tasks), 1 + layered, gaps=(_gap(tasks), 0.06), shared="y")
    alphas = interpolation.alpha.tolist()
    for row, task in enumerate(tasks, 1):
        score, marker = interpolation.score[task], {"size": 7}
        hover = {"hovertemplate": "α %{x}: %{y:.3f}<extra>whole model</extra>", "showlegend": False}
        trace = marks.points(alphas, score, INK, None, marker=marker, line="solid") | hover
        figure.add_trace(trace, row=row, col=1)
        marks.heading(figure, f"<b>{label(interpolation.task[task], 24)}</b>, whole model", row)
        if interpolation.layer_score[task].isfinite().any():
            _layer_lines(figure, interpolation, task, row, marked)
            marks.heading(figure, "one layer alone", row, 2)
        elif layered:
            figure.update_xaxes(visible=False, row=row, col=2)
            figure.update_yaxes(visible=False, row=row, col=2)
        figure.update_yaxes(title={"text": "score"}, row=row, col=1)
    marks.style(figure, 70 + 290 * len(tasks), top=32, legend="none")
    figure.update_xaxes(tickvals=alphas, range=[-0.05, 1.16])
    figure.update_xaxes(title={"text": "α: 0 base, 1 post"}, row=len(tasks))
    return figure


def _layer_lines(
    figure: Any, interpolation: Interpolation, task: int, row: int, marked: Sequence[int]
) -> None:
    """One line per layer moved alone; marked ones are highlighted and labelled at the end."""
    alphas = interpolation.alpha.tolist()
    ends: list[tuple[float, str]] = []
    layers = interpolation.layer.tolist()
    for i in sorted(range(len(layers)), key=lambda i: layers[i] in marked):
        layer = int(layers[i])
        values = interpolation.layer_score[task, i].tolist()
        if all(value != value for value in values):
            continue
        strong = layer in marked
        rank = list(marked).index(layer) if strong else 0
        color = (BLUE, VERMILION)[rank % 2] if strong else FAINT
        figure.add_scatter(
            x=alphas,
            y=marks.plain_numbers(values),
            mode="lines",
            line={"color": color, "width": 2.5 if strong else 1, "dash": _DASHES[rank % 4]},
            hovertemplate=f"layer {layer}, α %{{x}}: %{{y:.3f}}<extra></extra>",
            showlegend=False,
            row=row,
            col=2,
        )
        if strong and math.isfinite(values[-1]):
            ends.append((values[-1], f"L{layer}"))
    scores = interpolation.layer_score[task]
    found = scores[scores.isfinite()]
    for y, names in _apart(ends, 0.06 * (found.max() - found.min()).item()):
        place = {"x": alphas[-1], "y": y, "xanchor": "left", "xshift": 4, "row": row, "col": 2}
        font = {"color": INK, "size": 12}
        figure.add_annotation(text=names, showarrow=False, font=font, **place)


def _apart(ends: list[tuple[float, str]], least: float) -> list[tuple[float, str]]:
    """Labels at line ends; overlapping ones are merged."""
    groups: list[list[tuple[float, str]]] = []
    for end in sorted(ends):
        if groups and end[0] - groups[-1][0][0] <= least:
            groups[-1].append(end)
        else:
            groups.append([end])
    return [
        (sum(y for y, _ in group) / len(group), ", ".join(sorted(name for _, name in group)))
        for group in groups
    ]


@figure.register
def integrated_figure(integrated: WeightIG, *, tasks: Sequence[int] | None = None) -> Any:
    """Share of each part in the gap, by integrated gradients over the weights."""
    tasks = range(len(integrated.task)) if tasks is None else tasks
    n = max(len(tasks), 1)
    names = [label(part, 16) for part in integrated.part]
    figure = marks.panels(n, gaps=(0.24 / n, None), shared="x")
    for row, task in enumerate(tasks, 1):
        values = integrated.attribution[task].tolist()
        colors = [BLUE if v >= 0 else VERMILION for v in values]
        figure.add_bar(
            x=list(range(len(names))),
            y=marks.plain_numbers(values),
            text=[f"{name}: {number(v, sign=True)}" for name, v in zip(names, values, strict=True)],
            textposition="none",
            marker={"color": colors, "opacity": 0.85},
            width=0.6,
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
            row=row,
            col=1,
        )
        marks.level(figure, 0, INK, row=row)
        gap, error = integrated.gap[task].item(), integrated.completeness_error[task].item()
        missed = "" if error != error else f", completeness error {100 * error:.2g} %"
        title = f"<b>{label(integrated.task[task], 40)}</b>: gap {number(gap, sign=True)}{missed}"
        marks.heading(figure, title, row)
        figure.update_yaxes(title={"text": "part of the gap"}, row=row, col=1)
    marks.style(figure, 90 + 230 * n, top=32)
    axis = marks.ticks(names, turned=len(names) > 24)
    figure.update_xaxes(axis, automargin=True, tickfont={"color": MUTED})
    return figure
