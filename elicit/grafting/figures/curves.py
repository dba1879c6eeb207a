"""Figures of intervals of layers, interpolation, and integrated gradients."""

import math
from collections.abc import Sequence
from typing import Any

from elicit.grafting.integrated import WeightIG
from elicit.grafting.interpolation import Interpolation
from elicit.grafting.intervals import IntervalSweep
from elicit.results import Estimate
from elicit.results.drawing import (
    BLUE,
    DIVERGING,
    FAINT,
    INK,
    MUTED,
    VERMILION,
    figure,
    heading,
    interval,
    label,
    number,
    plain_numbers,
    style,
)

_DASHES = ("solid", "dash", "dot", "dashdot")


@figure.register
def interval_figure(sweep: IntervalSweep, *, tasks: Sequence[int] | None = None) -> Any:
    """Effect of reverting and grafting every contiguous interval of layers.

    Args:
        sweep: Effects of every interval.
        tasks: Indices of tasks; None shows all.
    """
    from plotly.subplots import make_subplots

    tasks = range(len(sweep.task)) if tasks is None else tasks
    n = len(sweep.first)
    side = min(max(24 * n + 40, 250), 520)
    figure = make_subplots(
        rows=len(tasks),
        cols=2,
        horizontal_spacing=0.12,
        vertical_spacing=0.3 / max(len(tasks), 1) ** 1.5,
    )
    for row, task in enumerate(tasks, 1):
        limit = max(_largest(sweep.revert.value[task]), _largest(sweep.graft.value[task])) or 1.0
        for col, (direction, name) in enumerate((("revert", "reverted"), ("graft", "grafted")), 1):
            effect: Estimate = getattr(sweep, direction)[task]
            values, low, high = (ends.tolist() for ends in (effect.value, effect.low, effect.high))
            figure.add_heatmap(
                x=sweep.last.tolist(),
                y=sweep.first.tolist(),
                z=[plain_numbers(line) for line in values],
                text=_cells(effect, short=n <= 12),
                customdata=[
                    [interval(*ends) for ends in zip(*lines, strict=True)]
                    for lines in zip(values, low, high, strict=True)
                ],
                texttemplate="%{text}",
                textfont={"size": 11},
                hovertemplate="layers %{y} to %{x} " + name + "<br>%{customdata}<extra></extra>",
                hoverongaps=False,
                colorscale=[list(stop) for stop in DIVERGING],
                zmin=-limit,
                zmax=limit,
                showscale=False,
                xgap=1,
                ygap=1,
                row=row,
                col=col,
            )
            heading(figure, f"<b>{label(sweep.task[task], 24)}</b>, {name}", row, col)
    style(figure, 70 + (side + 60) * len(tasks)).update_layout(showlegend=False, margin={"t": 32})
    step = 1 if n <= 16 else None
    figure.update_xaxes(dtick=step, ticks="")
    figure.update_xaxes(title={"text": "last layer"}, row=len(tasks))
    figure.update_yaxes(showgrid=False, autorange="reversed", dtick=step, ticks="")
    figure.update_yaxes(title={"text": "first layer"}, col=1)
    return figure


def _largest(values: Any) -> float:
    """Largest magnitude of a finite value; 0 if there is none."""
    found = values[values.isfinite()].abs()
    return found.max().item() if len(found) else 0.0


def _cells(effect: Estimate, *, short: bool) -> list[list[str]]:
    """Text of each cell: the effect if its interval excludes 0, else a dot."""

    def one(value: float, clear: bool) -> str:
        if value != value:
            return ""
        if not clear:
            return "·"
        return number(value, sign=True, digits=2) if short else ""

    lines = zip(effect.value.tolist(), effect.clear.tolist(), strict=True)
    return [[one(*cell) for cell in zip(*line, strict=True)] for line in lines]


@figure.register
def interpolation_figure(
    interpolation: Interpolation, *, tasks: Sequence[int] | None = None, marked: Sequence[int] = ()
) -> Any:
    """Score along the line from base to post, for the whole model and each layer alone.

    Args:
        interpolation: Scores along the line.
        tasks: Indices of tasks; None shows all.
        marked: Layers highlighted and labelled.
    """
    from plotly.subplots import make_subplots

    tasks = range(len(interpolation.task)) if tasks is None else tasks
    layered = any(interpolation.layer_score[task].isfinite().any() for task in tasks)
    figure = make_subplots(
        rows=len(tasks),
        cols=2 if layered else 1,
        shared_yaxes=True,
        horizontal_spacing=0.06,
        vertical_spacing=0.3 / max(len(tasks), 1) ** 1.5,
    )
    alphas = interpolation.alpha.tolist()
    for row, task in enumerate(tasks, 1):
        score = interpolation.score[task]
        values, low, high = (ends.tolist() for ends in (score.value, score.low, score.high))
        figure.add_scatter(
            x=alphas,
            y=plain_numbers(values),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": plain_numbers([b - v for b, v in zip(high, values, strict=True)]),
                "arrayminus": plain_numbers([v - a for v, a in zip(values, low, strict=True)]),
                "color": INK,
                "thickness": 1.5,
                "width": 3,
            },
            mode="lines+markers",
            line={"color": INK, "width": 2},
            marker={"size": 7},
            hovertemplate="α %{x}: %{y:.3f}<extra>whole model</extra>",
            showlegend=False,
            row=row,
            col=1,
        )
        heading(figure, f"<b>{label(interpolation.task[task], 24)}</b>, whole model", row)
        if interpolation.layer_score[task].isfinite().any():
            _layer_lines(figure, interpolation, task, row, marked)
            heading(figure, "one layer alone", row, 2)
        elif layered:
            figure.update_xaxes(visible=False, row=row, col=2)
            figure.update_yaxes(visible=False, row=row, col=2)
        figure.update_yaxes(title={"text": "score"}, row=row, col=1)
    style(figure, 70 + 290 * len(tasks)).update_layout(showlegend=False, margin={"t": 32})
    figure.update_xaxes(tickvals=alphas, range=[-0.05, 1.16])
    figure.update_xaxes(title={"text": "α: 0 base, 1 post"}, row=len(tasks))
    return figure


def _layer_lines(
    figure: Any, interpolation: Interpolation, task: int, row: int, marked: Sequence[int]
) -> None:
    """One line per layer moved alone; marked ones are highlighted and labelled at the end."""
    alphas = interpolation.alpha.tolist()
    ends: list[tuple[float, str]] = []
    order = sorted(
        range(len(interpolation.layer)), key=lambda i: interpolation.layer[i].item() in marked
    )
    for i in order:
        layer = int(interpolation.layer[i].item())
        values = interpolation.layer_score[task, i].tolist()
        if all(value != value for value in values):
            continue
        strong = layer in marked
        rank = list(marked).index(layer) if strong else 0
        color = (BLUE, VERMILION)[rank % 2] if strong else FAINT
        figure.add_scatter(
            x=alphas,
            y=plain_numbers(values),
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
        figure.add_annotation(
            x=alphas[-1],
            y=y,
            text=names,
            xanchor="left",
            xshift=4,
            showarrow=False,
            font={"color": INK, "size": 12},
            row=row,
            col=2,
        )


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
    """Share of each part in the gap, by integrated gradients over the weights.

    Args:
        integrated: Attributions of every part.
        tasks: Indices of tasks; None shows all.
    """
    from plotly.subplots import make_subplots

    tasks = range(len(integrated.task)) if tasks is None else tasks
    n = max(len(tasks), 1)
    names = [label(part, 16) for part in integrated.part]
    places = list(range(len(names)))
    figure = make_subplots(rows=n, cols=1, shared_xaxes=True, vertical_spacing=0.24 / n)
    for row, task in enumerate(tasks, 1):
        values = integrated.attribution[task].tolist()
        figure.add_bar(
            x=places,
            y=plain_numbers(values),
            text=[f"{name}: {number(v, sign=True)}" for name, v in zip(names, values, strict=True)],
            textposition="none",
            marker={"color": [BLUE if v >= 0 else VERMILION for v in values], "opacity": 0.85},
            width=0.6,
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
            row=row,
            col=1,
        )
        figure.add_hline(y=0, line={"color": INK, "width": 1}, row=row, col=1)  # pyright: ignore
        gap, error = integrated.gap[task].item(), integrated.completeness_error[task].item()
        missed = "" if error != error else f", completeness error {100 * error:.2g} %"
        title = f"<b>{label(integrated.task[task], 40)}</b>: gap {number(gap, sign=True)}{missed}"
        heading(figure, title, row)
        figure.update_yaxes(title={"text": "part of the gap"}, row=row, col=1)
    style(figure, 90 + 230 * n).update_layout(margin={"t": 32}, font={"color": INK})
    turned = -90 if len(names) > 24 else 0
    figure.update_xaxes(
        tickvals=places,
        ticktext=names,
        tickangle=turned,
        automargin=True,
        tickfont={"color": MUTED},
    )
    return figure
