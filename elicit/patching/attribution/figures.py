"""Figures of attribution: heat maps of nodes, the largest edges with their intervals."""

from typing import Any

from elicit.patching.attribution.result import EdgeScores, NodeScores
from elicit.patching.figures.panels import Cell, panels_of, scaled
from elicit.results import Estimate, figure, interval, label, marks, number
from elicit.results.marks import BLUE, FAINT, VERMILION

_EDGES = 30
"""Number of edges shown."""


@figure.register
def node_figure(scores: NodeScores) -> Any:
    """Score of each cell, layers × positions or heads; a dot: the interval excludes 0.

    One panel per kind of site, on one scale centred at 0. Sites with heads are shown at the
    position with the largest score.
    """
    panels = panels_of(scores, scores.score)
    heights, n = [panel.height for panel in panels], len(panels)
    total = sum(heights)
    gap = min(96 / (total + 96 * n), 1 / max(n - 1, 1) / 2)
    figure = marks.panels(n, heights=heights, gaps=(gap, None))
    for row, panel in enumerate(panels, 1):
        words = [
            ["•" if at is not None and scores.score.clear[at] else "" for at in line]
            for line in panel.cells
        ]
        hover = [[_told(scores, at) for at in line] for line in panel.cells]
        trace = marks.heat(panel.values(scores.score.value), words, hover)
        trace |= {"hoverongaps": False, "coloraxis": "coloraxis"}
        figure.add_trace(trace, row=row, col=1)
        where = "" if panel.pos is None else f" at {label(scores.pos[panel.pos])}"
        marks.heading(figure, f"<b>{panel.kind}</b>{where}", row)
        panel.axes(figure, row, 1)
    marks.style(figure, total + 96 * n + 80, top=84, legend="none")
    figure.update_xaxes(automargin=True)
    figure.update_layout(margin={"b": 64, "r": 96})
    limit = scores.score.value.abs().max().item() or 1.0
    scaled(figure, limit, scores.unit, _title(scores))
    return figure


def _title(scores: NodeScores) -> str:
    told = f"<b>{label(scores.metric)}</b>, {label(scores.direction)}, {label(scores.method)}"
    if scores.agreement is None:
        return told
    found = scores.agreement
    return (
        f"{told}: rank correlation with the exact sweep {number(found.spearman, digits=2)}, "
        f"{number(found.recall, digits=2)} of its top {found.top}"
    )


def _told(scores: NodeScores, at: Cell | None) -> str:
    """Hover text of a cell."""
    if at is None:
        return ""
    lines = [
        f"{label(scores.site[at[0]])}, {label(scores.pos[at[1]])}",
        f"{label(scores.method)} {interval(*scores.score[at].ends)} {label(scores.unit)}",
    ]
    if scores.exact is not None:
        lines.append(f"exact effect {number(scores.exact[at].item(), sign=True)}")
    return "<br>".join(lines)


@figure.register
def edge_figure(scores: EdgeScores) -> Any:
    """The edges with the largest scores, largest first, with their intervals."""
    sender = {name: at for at, name in enumerate(scores.sender)}
    receiver = {name: at for at, name in enumerate(scores.receiver)}
    largest = scores.largest(_EDGES)
    names = [f"{label(s)} → {label(r)}" for s, r, _ in largest]
    shown = Estimate.stack([scores.score[sender[s], receiver[r]] for s, r, _ in largest])
    color = [BLUE if value > 0 else VERMILION for value in shown.value.tolist()]
    hover = [
        f"{name}<br>{interval(*ends)} {label(scores.unit)}"
        for name, ends in zip(names, marks.ends_of(shown), strict=True)
    ]
    marker = marks.hollow(color, shown.clear)
    figure = marks.blank()
    figure.add_trace(marks.points(names, shown, FAINT, hover, marker=marker, across=True))
    marks.style(figure, 120 + 22 * len(names), legend="none")
    figure.update_yaxes(autorange="reversed", automargin=True)
    told = f"score, {label(scores.unit)}; hollow: the simultaneous interval includes 0"
    figure.update_xaxes(title={"text": told}, zeroline=True, zerolinecolor=FAINT)
    return figure
