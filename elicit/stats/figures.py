"""Figures of statistics: means of groups."""

from typing import Any

from elicit.results import figure, label, marks
from elicit.results.marks import BLUE, INK, MUTED, VERMILION
from elicit.stats.grouped import GroupMeans

_COLORS = {
    **{"base": BLUE, "unsteered": BLUE},
    **{"post": VERMILION, "target": VERMILION},
    **{"steered": "#009e73", "base steered": "#009e73"},
}


@figure.register
def groups_figure(found: GroupMeans) -> Any:
    """Means of every group with intervals; below, differences of two measures."""
    single = [i for i, name in enumerate(found.measure) if " minus " not in name]
    double = [i for i in range(len(found.measure)) if i not in single]
    drawn = marks.panels(1 + bool(double), gaps=(0.16, None), shared="x")
    x = list(range(len(found.group)))
    for place, i in enumerate((*single, *double)):
        name = label(found.measure[i])
        below = i in double
        color = INK if below else _COLORS.get(found.measure[i], MUTED)
        at = x if below else [p + 0.16 * (place - (len(single) - 1) / 2) for p in x]
        clear = found.mean[i].clear.tolist()
        filled = not found.measure[i].startswith("control")
        marker = marks.hollow(color, [bool(yes) if below else filled for yes in clear])
        hover = marks.hovers(f"{name}, ", found.group, found.mean[i])
        trace = marks.points(at, found.mean[i], color, hover, marker=marker)
        drawn.add_trace(trace | {"name": name, "showlegend": True}, row=1 + below, col=1)
    marks.style(drawn, 460 if double else 320, top=84, legend="above")
    marks.heading(drawn, f"<b>mean</b>, {label(found.unit)}", 1)
    if double:
        marks.heading(drawn, f"difference, {label(found.unit)}", 2)
        marks.level(drawn, 0, row=2)
    drawn.update_xaxes(
        tickvals=x,
        ticktext=[label(group, 16) for group in found.group],
        range=[-0.5, len(x) - 0.5],
        showticklabels=True,
    )
    return drawn
