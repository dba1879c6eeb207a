"""How much a difference depends on its convention, and how depth varies with groups of tokens."""

from collections.abc import Sequence
from typing import Any

from elicit.results import Estimate, figure, interval, label, marks, number
from elicit.results.marks import BLUE, INK, VERMILION, ends_of
from elicit.revision.figures.curves import COLORS
from elicit.revision.groups import DepthByGroup
from elicit.revision.sensitivity import Sensitivity

_SHADES = (BLUE, INK, VERMILION, "#009e73", "#cc79a7", "#b57d00")


@figure.register
def sensitivity_figure(sensitivity: Sensitivity) -> Any:
    """Difference of deep-thinking ratios, post minus base, for every convention of the band."""
    s = sensitivity
    figure = marks.blank()
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
        # Beside one another, or the intervals of one rho would hide each other.
        places = [r + 0.18 * (g - (len(thresholds) - 1) / 2) for r in range(len(rhos))]
        name, color = f"g = {threshold:.3g} {s.unit}", _SHADES[g % len(_SHADES)]
        figure.add_trace(_points(places, s.dtr_diff[g], hover, name, color))
    marks.style(figure, 360).update_layout(margin={"l": 72})
    marks.level(figure, 0)
    figure.update_xaxes(
        tickvals=list(range(len(rhos))),
        ticktext=[f"ρ = {rho:.3g}" for rho in rhos],
        range=[-0.5, len(rhos) - 0.5],
        title={"text": "ρ: share of the layers that must have run for settling to be deep"},
    )
    figure.update_yaxes(title={"text": "difference of the ratio, post minus base"})
    return figure


@figure.register
def groups_figure(groups: DepthByGroup) -> Any:
    """Settling depth of every group in both models, and post minus base, with intervals."""
    d = groups
    figure = marks.panels(2, gaps=(0.14, None), shared="x")
    x = list(range(len(d.group)))
    for m, model in enumerate(d.model):
        depths, steps = ends_of(d.depth[m]), ends_of(d.step[m])
        hover = [
            f"{label(model)}, {label(group)}: {interval(*three).removeprefix('+')} layers"
            f"<br>minus {label(d.group[0])}: {interval(*step)}"
            f"<br>{int(d.n_tokens[i])} tokens, {int(d.n_problems[i])} problems"
            for i, (group, step, three) in enumerate(zip(d.group, steps, depths, strict=True))
        ]
        places = [i + 0.16 * (m - (len(d.model) - 1) / 2) for i in x]
        trace = _points(places, d.depth[m], hover, label(model), COLORS[m], hollow=False)
        figure.add_trace(trace, row=1, col=1)
    hover = [
        f"{label(group)}: post minus base {interval(*three)} layers"
        for group, three in zip(d.group, ends_of(d.diff), strict=True)
    ]
    trace = _points(x, d.diff, hover, "post minus base, same tokens", INK)
    figure.add_trace(trace, row=2, col=1)
    marks.style(figure, 480, top=84, legend="above")
    marks.heading(figure, "<b>mean settling depth</b>, layers run", 1)
    marks.heading(figure, "post minus base, layers", 2)
    marks.level(figure, 0, row=2)
    figure.update_xaxes(
        tickvals=x,
        ticktext=[label(group, 16) for group in d.group],
        range=[-0.5, len(x) - 0.5],
        showticklabels=True,
    )
    return figure


def _points(
    x: Sequence[int | float],
    estimate: Estimate,
    hover: Sequence[str],
    name: str,
    color: str,
    *,
    hollow: bool = True,
) -> dict[str, Any]:
    """Points with intervals; hollow where the interval includes 0, unless 0 means nothing there."""
    marker = marks.hollow(color, [not hollow or bool(yes) for yes in estimate.clear])
    trace = marks.points(x, estimate, color, hover, marker=marker)
    return trace | {"name": name, "showlegend": True}
