"""Figure of Think@n: accuracy and token cost of each arm."""

from typing import Any

from elicit.results import figure, interval, label, marks, number
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION
from elicit.revision.thinking.result import ThinkAtN

_LOOK = {
    "think": ("Think@n: deepest prefixes", VERMILION, "star", 15),
    "cons": ("all samples", INK, "circle", 10),
    "matched": ("all, at Think@n's tokens", BLUE, "circle", 10),
    "random": ("as many at random", BLUE, "circle-open", 10),
    "short": ("shortest texts", MUTED, "square", 9),
    "certain": ("highest self-certainty", MUTED, "diamond", 10),
    "low_entropy": ("lowest entropy", MUTED, "diamond-open", 10),
    "shallow": ("least deep prefixes", FAINT, "x", 9),
}
"""Name, colour, mark and its size, in the order of the legend."""
_APART = 0.012
"""Share of the axis by which marks stand apart."""


@figure.register
def think_figure(result: ThinkAtN) -> Any:
    """Accuracy of every way to vote over the tokens it costs a problem, with joint intervals."""
    figure = marks.blank()
    share, ranks = result.share.tolist(), _beside(result)
    for arm, (name, color, symbol, size) in _LOOK.items():
        at = result.arm.index(arm)
        line = {"color": color, "width": 1.5}
        marker = {"symbol": symbol, "size": size, "color": color, "line": line}
        hover = [_hover(result, at, name, share[at])]
        trace = marks.points([ranks[arm]], result.accuracy[[at]], color, hover, marker=marker)
        figure.add_trace(trace | {"name": name})
    marks.style(figure, 440, top=128)
    place = {"x": 0.01, "xanchor": "left", "y": 0.96, "yanchor": "top"}
    figure.update_layout(title={"text": _title(result), "font": {"size": 14}, **place})
    figure.update_xaxes(title={"text": "tokens written for a problem"}, rangemode="tozero")
    figure.update_yaxes(title={"text": "share of problems solved by the vote"})
    return figure


def _beside(result: ThinkAtN) -> dict[str, float]:
    """Where each arm is drawn: at its tokens, or beside an arm that it would hide there."""
    gap = _APART * result.tokens.value.max().item()
    ranks: dict[str, float] = {}
    for arm in _LOOK:
        x = result.tokens.value[result.arm.index(arm)].item()
        while any(abs(x - other) < 0.99 * gap for other in ranks.values()):
            x += gap
        ranks[arm] = x
    return ranks


def _title(result: ThinkAtN) -> str:
    """What was done, and the comparison that it stands or falls with."""
    at, rival = result.arm.index("think"), result.rival.index("random")
    return (
        f"<b>{label(result.model)}</b>, {len(result.problem)} problems: {result.n_kept} of "
        f"{result.n} samples by the first {result.prefix} tokens; against as many at random "
        f"{interval(*result.gain[rival, at].ends, digits=2)}"
    )


def _hover(result: ThinkAtN, at: int, name: str, share: float) -> str:
    """Hover text: accuracy, cost and comparisons of one arm."""
    accuracy, low, high = result.accuracy[at].ends
    lines = [
        label(name),
        f"solved {number(accuracy)} [{number(low)}, {number(high)}]",
        f"{number(result.tokens.value[at].item(), digits=1)} tokens, "
        f"{number(share)} of all samples'",
    ]
    for row, rival in enumerate(result.rival):
        if result.arm[at] != rival:
            lines.append(f"against {label(_LOOK[rival][0])} {interval(*result.gain[row, at].ends)}")
    return "<br>".join(lines)
