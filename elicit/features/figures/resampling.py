"""Figure of resampling: recurrence rates of features, and of controls."""

from typing import Any

from elicit.features.resampling import ResamplingStability
from elicit.results import figure, interval, marks
from elicit.results.marks import BLUE, FAINT, MUTED, VERMILION

_COLORS = {"stable": BLUE, "unstable": VERMILION}


@figure.register
def resampling_figure(result: ResamplingStability) -> Any:
    """Recurrence rate of each candidate, with both controls in grey."""
    figure = marks.panels()
    names = [str(int(i)) for i in result.feature]
    looks = (("circle", 10, 0.0), ("circle-open", 7, 0.22), ("diamond-open", 7, -0.22))
    for arm, (symbol, size, shift) in enumerate(looks):
        part = result.rate[:, arm]
        colors = [_COLORS.get(v, MUTED) if arm == 0 else FAINT for v in result.verdict]
        for i, color in enumerate(colors):
            rate = part[[i]]
            hover = (
                f"feature {names[i]}, {result.verdict[i]}<br>{result.arm[arm]}: "
                f"{interval(*part[i].ends, digits=2).removeprefix('+')}"
                f"<br>{int(result.n_problems[i])} problems"
            )
            marker = {"symbol": symbol, "size": size, "color": color}
            error = marks.bars(rate, color, width=0)
            trace = marks.points(
                [i + shift], rate, color, [hover], marker=marker, error=error, across=True
            )
            name = result.arm[arm]
            legend = {"name": name, "legendgroup": name, "showlegend": i == 0}
            figure.add_trace(trace | legend, row=1, col=1)
    marks.level(figure, result.least, dash="dot", upright=True)
    marks.style(figure, 140 + 34 * len(names), top=84, legend="above")
    marks.heading(figure, "<b>features that recur when the text is resampled</b>", 1)
    rows = {"tickvals": list(range(len(names))), "ticktext": names}
    figure.update_yaxes(rows, range=[len(names) - 0.5, -0.5], title={"text": "feature"})
    figure.update_xaxes(title={"text": "share of continuations"}, range=[-0.03, 1.03])
    return figure
