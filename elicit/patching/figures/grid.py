"""Heat maps of a sweep: layers × positions or heads, with controls."""

from typing import Any

from elicit.patching.columns import shown_pos
from elicit.patching.figures.panels import Cell, Panel, panels_of, scaled
from elicit.patching.grid import PatchGrid
from elicit.results import Estimate, figure, interval, label, marks, number

_CONTROLS = {"other_prompt": "control: another prompt", "noise": "control: noise of equal norm"}
_ROOM = 12
"""Maximum number of cells per row that show their value as text."""


@figure.register
def grid_figure(grid: PatchGrid, metric: str | None = None) -> Any:
    """Effect of patching each cell, width 1, with controls; numbers and dots: interval excludes 0.

    One row of panels per kind of site: layers × positions, or layers × heads at the position with
    the largest effect. All panels share one scale, centred at 0.

    Args:
        grid: Effects of every cell.
        metric: Name of a metric; None takes the first.

    Raises:
        PatchError: The metric was not read.
    """
    m = grid.metric_row(metric)
    shown = {"effect": grid.effect[0, m]}
    shown |= {name: getattr(grid, name)[m] for name in _CONTROLS}
    shown = {k: each for k, each in shown.items() if k == "effect" or each.value.isfinite().any()}
    panels = panels_of(grid, shown["effect"])
    heights = [panel.height for panel in panels]
    # Room under each row for its labels, rotated where there are many, and the next heading.
    longest = max((len(name) for panel in panels if panel.turned for name in panel.x), default=2)
    gap = 62 + 7 * longest
    figure = marks.stack(heights, gap, cols=len(shown))
    limit = abs(grid.gap.value[m].item()) if grid.gap_clear[m] else 0.0
    limit = max(limit, *(marks.largest(each.value) for each in shown.values())) or 1.0
    for r, panel in enumerate(panels, 1):
        everywhere = panel.pos is None or grid.pos == ("all",)
        title = f"<b>{panel.kind}</b>"
        title += "" if everywhere else f" at {label(shown_pos(grid.pos[panel.pos or 0]))}"
        hover = [[_told(grid, m, at) for at in line] for line in panel.cells]
        for c, (name, estimate) in enumerate(shown.items(), 1):
            words = _words(panel, estimate, limit)
            trace = marks.heat(panel.values(estimate.value), words, hover) | {
                "textfont": {"size": 10},
                "hoverongaps": False,
                "coloraxis": "coloraxis",
            }
            figure.add_trace(trace, row=r, col=c)
            marks.heading(figure, _CONTROLS.get(name, title), r, c)
    height = sum(heights) + gap * (len(panels) - 1)
    marks.style(figure, height + 84 + gap, top=84, legend="none")
    figure.update_layout(margin={"b": gap, "r": 96})
    scaled(figure, limit, grid.unit[m], _title(grid, m))
    for r, panel in enumerate(panels, 1):
        for c in range(1, len(shown) + 1):
            panel.axes(figure, r, c)
    return figure


_METRICS = {"logit_diff": "logit difference", "log_prob": "log-probability of the answer"}


def _title(grid: PatchGrid, row: int) -> str:
    """Title: metric, direction, scores and gap."""
    gap = interval(*grid.gap[row].ends, digits=2)
    return (
        f"<b>{label(_METRICS.get(grid.metric[row], grid.metric[row]))}</b>, "
        f"{label(grid.direction.replace('_to_', ' into '))}: "
        f"{label(grid.host)} {number(grid.host_score.value[row].item(), digits=2)}, "
        f"{label(grid.donor)} {number(grid.donor_score.value[row].item(), digits=2)}, gap {gap}"
        + ("" if grid.gap_clear[row] else " (interval includes 0: no shares)")
    )


def _words(panel: Panel, estimate: Estimate, limit: float) -> list[list[str]]:
    """Where the interval excludes 0: the value if it fits and is not negligible, else a dot."""

    def one(at: Cell | None) -> str:
        if at is None or (value := estimate.value[at].item()) != value:
            return ""
        if not estimate.clear[at]:
            return ""
        fits = len(panel.x) <= _ROOM and abs(value) > limit / 20
        return number(value, sign=True, digits=1) if fits else "•"

    return [[one(at) for at in line] for line in panel.cells]


def _told(grid: PatchGrid, row: int, at: Cell | None) -> str:
    """Hover text: value, interval, share and controls of a cell."""
    if at is None:
        return ""
    lines = [f"{label(grid.site[at[0]])}, {label(shown_pos(grid.pos[at[1]]))}"]
    lines.append(f"effect {interval(*grid.effect[0, row, *at].ends)} {label(grid.unit[row])}")
    share = grid.share[0, row, *at].ends
    if share[0] == share[0]:
        lines.append(f"share of the gap {interval(*share)}")
    lines.append(f"adjusted p {number(grid.p[0, row][at].item())}")
    for name, words in _CONTROLS.items():
        ends = getattr(grid, name)[row, *at].ends
        if ends[0] == ends[0]:
            beyond = " (effect is beyond it)" if getattr(grid, f"above_{name}")[row][at] else ""
            lines.append(f"{words} {interval(*ends)}{beyond}")
    return "<br>".join(lines)
