"""Picture of many runs: a forest plot for each number that most of them report."""

from typing import Any

from elicit.results import figure, interval, label, marks
from elicit.results.marks import BLUE
from elicit.sweep.comparison import Comparison

SHOWN = 6
"""Numbers drawn, at most; the table has all."""
_ROW, _GAP = 24, 52


@figure.register
def comparison_figure(comparison: Comparison) -> Any:
    """One panel a number, one row a run."""
    shown = range(min(SHOWN, len(comparison.number)))
    told = (~comparison.estimate.value.isnan()).T
    rows = [told[j].nonzero()[:, 0].tolist() for j in shown]
    heights = [_ROW * len(each) + 20 for each in rows]
    figure = marks.stack(heights, _GAP)
    for panel, (j, each) in enumerate(zip(shown, rows, strict=True), start=1):
        runs = [label(comparison.run[i]) for i in each]
        estimate = comparison.estimate
        value, low, high = (
            end[each, j].tolist() for end in (estimate.value, estimate.low, estimate.high)
        )
        figure.add_scatter(
            x=value,
            y=runs,
            mode="markers",
            marker={"color": BLUE, "size": 8},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [h - v for h, v in zip(high, value, strict=True)],
                "arrayminus": [v - lo for lo, v in zip(low, value, strict=True)],
                "color": BLUE,
                "thickness": 1.5,
            },
            hovertext=[interval(*ends) for ends in zip(value, low, high, strict=True)],
            hoverinfo="text",
            showlegend=False,
            row=panel,
            col=1,
        )
        figure.add_vline(x=0, line={"color": marks.RULE, "width": 1}, row=panel, col=1)
        figure.update_xaxes(title={"text": label(comparison.number[j])}, row=panel, col=1)
    gaps = _GAP * (len(shown) - 1)
    marks.style(figure, sum(heights) + gaps + 72, top=16, legend="none")
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure
