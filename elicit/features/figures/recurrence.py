"""Picture of a re-generation: what comes back where a text is written again, and by chance."""

from typing import Any

from elicit.features.regenerating import Regeneration
from elicit.results.drawing import BLUE, FAINT, MUTED, VERMILION, figure, heading, interval, style

_COLORS = {"stable": BLUE, "unstable": VERMILION}


@figure.register
def again_figure(found: Regeneration) -> Any:
    """Rate of each candidate at its own places, and that of both controls in grey.

    Args:
        found: What came back.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=1)
    names = [str(int(i)) for i in found.feature]
    looks = (("circle", 10, 0.0), ("circle-open", 7, 0.22), ("diamond-open", 7, -0.22))
    for arm, (symbol, size, shift) in enumerate(looks):
        rate, low, high = (
            getattr(found, f"again{end}")[:, arm].tolist() for end in ("", "_low", "_high")
        )
        own = arm == 0
        colors = [_COLORS.get(v, MUTED) if own else FAINT for v in found.verdict]
        for i, color in enumerate(colors):
            figure.add_scatter(
                x=[rate[i]],
                y=[i + shift],
                mode="markers",
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [high[i] - rate[i]],
                    "arrayminus": [rate[i] - low[i]],
                    "color": color,
                    "thickness": 1.5,
                    "width": 0,
                },
                marker={"symbol": symbol, "size": size, "color": color},
                text=[
                    f"feature {names[i]}, {found.verdict[i]}<br>{found.arm[arm]}: "
                    f"{interval(rate[i], low[i], high[i], digits=2).removeprefix('+')}"
                    f"<br>{int(found.n_problems[i])} problems"
                ],
                hovertemplate="%{text}<extra></extra>",
                name=found.arm[arm],
                legendgroup=found.arm[arm],
                showlegend=i == 0,
                row=1,
                col=1,
            )
    figure.add_vline(x=found.least, line={"color": FAINT, "width": 1, "dash": "dot"})
    style(figure, 140 + 34 * len(names)).update_layout(margin={"t": 84})
    heading(figure, "<b>active again where the text is written again</b>", 1)
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[len(names) - 0.5, -0.5],
        title={"text": "feature"},
    )
    figure.update_xaxes(title={"text": "share of continuations"}, range=[-0.03, 1.03])
    return figure
