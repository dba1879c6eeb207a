"""How much a difference depends on its convention, and how depth varies with groups of tokens."""

from collections.abc import Sequence
from typing import Any

from elicit.results import Estimate
from elicit.results.drawing import (
    BLUE,
    FAINT,
    INK,
    VERMILION,
    figure,
    heading,
    interval,
    label,
    number,
    plain_numbers,
    style,
)
from elicit.revision.figures.curves import COLORS
from elicit.revision.figures.marks import ends_of, error_bars
from elicit.revision.groups import DepthByGroup
from elicit.revision.sensitivity import Sensitivity

_SHADES = (BLUE, INK, VERMILION, "#009e73", "#cc79a7", "#e69f00")


@figure.register
def sensitivity_figure(sensitivity: Sensitivity) -> Any:
    """Difference of deep-thinking ratios, post minus base, for every convention of the band.

    Args:
        sensitivity: Ratios over a band of conventions.
    """
    from plotly.graph_objects import Figure

    s = sensitivity
    figure = Figure()
    thresholds, rhos = s.threshold.tolist(), s.rho.tolist()
    for g, threshold in enumerate(thresholds):
        hover = [
            f"g = {threshold:.3g} {s.unit}, ρ = {rho:.3g}<br>post minus base {interval(*three)}"
            + "".join(
                f"<br>{label(model)} {number(s.dtr.value[g, r, m].item())}"
                for m, model in enumerate(s.model)
            )
            for r, (rho, three) in enumerate(zip(rhos, ends_of(s.dtr_diff[g]), strict=True))
        ]
        _points(
            figure,
            # Beside one another, or the intervals of one rho would hide each other.
            [r + 0.18 * (g - (len(thresholds) - 1) / 2) for r in range(len(rhos))],
            s.dtr_diff[g],
            hover=hover,
            name=f"g = {threshold:.3g} {s.unit}",
            color=_SHADES[g % len(_SHADES)],
        )
    style(figure, 360).update_layout(margin={"t": 56, "l": 72})
    figure.add_hline(y=0, line={"color": FAINT, "width": 1})  # pyright: ignore
    figure.update_xaxes(
        tickvals=list(range(len(rhos))),
        ticktext=[f"ρ = {rho:.3g}" for rho in rhos],
        range=[-0.5, len(rhos) - 0.5],
        title={"text": "share of the layers after which settling is deep"},
    )
    figure.update_yaxes(title={"text": "difference of the ratio, post minus base"})
    return figure


@figure.register
def groups_figure(groups: DepthByGroup) -> Any:
    """Settling depth of every group in both models, and post minus base, with intervals.

    Args:
        groups: Depths of groups of tokens.
    """
    from plotly.subplots import make_subplots

    d = groups
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.14)
    x = list(range(len(d.group)))
    for m, model in enumerate(d.model):
        depths, steps = ends_of(d.depth[m]), ends_of(d.step[m])
        hover = [
            f"{label(model)}, {label(group)}: {interval(*three).removeprefix('+')} layers"
            f"<br>minus {label(d.group[0])}: {interval(*step)}"
            f"<br>{int(d.n_tokens[i])} tokens, {int(d.n_problems[i])} problems"
            for i, (group, step, three) in enumerate(zip(d.group, steps, depths, strict=True))
        ]
        _points(
            figure,
            [i + 0.16 * (m - (len(d.model) - 1) / 2) for i in x],
            d.depth[m],
            hover=hover,
            name=label(model),
            color=COLORS[m],
            row=1,
            hollow=False,
        )
    hover = [
        f"{label(group)}: post minus base {interval(*three)} layers"
        for group, three in zip(d.group, ends_of(d.diff), strict=True)
    ]
    _points(figure, x, d.diff, hover=hover, name="post minus base, same tokens", color=INK, row=2)
    style(figure, 480).update_layout(margin={"t": 84})
    heading(figure, "<b>mean settling depth</b>, layers", 1)
    heading(figure, "post minus base, layers", 2)
    figure.add_hline(y=0, line={"color": FAINT, "width": 1}, row=2, col=1)  # pyright: ignore
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.update_xaxes(
        tickvals=x,
        ticktext=[label(group, 16) for group in d.group],
        range=[-0.5, len(x) - 0.5],
        showticklabels=True,
    )
    return figure


def _points(
    figure: Any,
    x: Sequence[int | float],
    estimate: Estimate,
    *,
    hover: Sequence[str],
    name: str,
    color: str,
    row: int | None = None,
    hollow: bool = True,
) -> None:
    """Points with intervals; hollow where the interval holds 0, unless 0 means nothing there."""
    clear = [not hollow or bool(yes) for yes in estimate.clear]
    figure.add_scatter(
        x=list(x),
        y=plain_numbers(estimate.value.tolist()),
        error_y=error_bars(estimate, color),
        mode="markers",
        marker={
            "size": 8,
            "color": [color if yes else "white" for yes in clear],
            "line": {"color": color, "width": 1.5},
        },
        text=list(hover),
        hovertemplate="%{text}<extra></extra>",
        name=name,
        showlegend=True,
        row=row,
        col=None if row is None else 1,
    )
