"""Picture of token shifts: how much of the divergence lies on how few tokens."""

from typing import Any

from elicit.results import figure, label, marks, number
from elicit.results.marks import BLUE, FAINT, INK, VERMILION
from elicit.traces.shifts import Shifts

_COLORS = {"base": BLUE, "post": VERMILION}


@figure.register
def shifts_figure(found: Shifts) -> Any:
    """Share of each divergence in the tokens that have most of it, all tokens counted.

    Dashed: the tokens at which base is least sure come first, which is no choice by the outcome.
    """
    figure = marks.panels(1, len(found.direction), gaps=(None, 0.1), shared="y")
    # On a narrow screen every source takes two rows of the legend.
    more = 52 * (len(found.source) - 1)
    marks.style(figure, 360 + more, top=84 + more, legend="above")
    figure.update_layout(margin={"b": 52, "l": 52})
    read = found.percent.tolist()
    for column, direction in enumerate(found.direction):
        for source, name in enumerate(found.source):
            color = _COLORS.get(name, INK)
            for table, dash, order in (
                (found.lorenz, "solid", "most divergent first"),
                (found.lorenz_entropy, "dash", "base least sure first"),
            ):
                values = table[column, 0, source]
                whose = f"{label(name)}’s texts" if name in _COLORS else f"{label(name)} texts"
                figure.add_scatter(
                    x=read,
                    y=marks.plain_numbers(values),
                    mode="lines",
                    line={"color": color, "width": 2, "dash": dash},
                    name=f"{whose}, {order}",
                    legendgroup=f"{name} {order}",
                    showlegend=not column,
                    text=[
                        f"{whose}, {order}: {x} % of tokens hold {number(y, digits=2)}"
                        for x, y in zip(read, values.tolist(), strict=True)
                    ],
                    hovertemplate="%{text}<extra></extra>",
                    row=1,
                    col=column + 1,
                )
        figure.add_scatter(
            x=[0, 100], y=[0, 1], mode="lines", line={"color": FAINT, "width": 1, "dash": "dot"},
            hoverinfo="skip", showlegend=False, row=1, col=column + 1,
        )  # fmt: skip
        marks.heading(figure, f"KL({label(direction)})", 1, column + 1)
    figure.update_xaxes(title={"text": "% of tokens"}, range=[-2, 102])
    figure.update_yaxes(range=[-0.03, 1.05])
    figure.update_yaxes(title={"text": "share of the divergence"}, row=1, col=1)
    return figure
