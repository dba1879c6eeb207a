"""Figure of resampling: recurrence rates of features, and of controls."""

from typing import Any

from elicit.features.resampling import ResamplingStability
from elicit.results.drawing import BLUE, FAINT, MUTED, VERMILION, figure, heading, interval, style

_COLORS = {"stable": BLUE, "unstable": VERMILION}


@figure.register
def resampling_figure(result: ResamplingStability) -> Any:
    """Recurrence rate of each candidate, with both controls in grey."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=1)
    names = [str(int(i)) for i in result.feature]
    looks = (("circle", 10, 0.0), ("circle-open", 7, 0.22), ("diamond-open", 7, -0.22))
    for arm, (symbol, size, shift) in enumerate(looks):
        part = result.rate[:, arm]
        rate, low, high = part.value.tolist(), part.low.tolist(), part.high.tolist()
        colors = [_COLORS.get(v, MUTED) if arm == 0 else FAINT for v in result.verdict]
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
                    f"feature {names[i]}, {result.verdict[i]}<br>{result.arm[arm]}: "
                    f"{interval(rate[i], low[i], high[i], digits=2).removeprefix('+')}"
                    f"<br>{int(result.n_problems[i])} problems"
                ],
                hovertemplate="%{text}<extra></extra>",
                name=result.arm[arm],
                legendgroup=result.arm[arm],
                showlegend=i == 0,
                row=1,
                col=1,
            )
    figure.add_vline(x=result.least, line={"color": FAINT, "width": 1, "dash": "dot"})
    style(figure, 140 + 34 * len(names)).update_layout(margin={"t": 84})
    heading(figure, "<b>features that recur when the text is resampled</b>", 1)
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[len(names) - 0.5, -0.5],
        title={"text": "feature"},
    )
    figure.update_xaxes(title={"text": "share of continuations"}, range=[-0.03, 1.03])
    return figure
