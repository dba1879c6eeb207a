"""Picture of Think@n: what each way to vote costs, and what it gets."""

from typing import Any

import torch

from elicit.results.drawing import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    VERMILION,
    figure,
    interval,
    label,
    number,
    plain_numbers,
    style,
)
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
def think_figure(found: ThinkAtN) -> Any:
    """Accuracy of every way to vote over the tokens it costs a problem, with joint intervals.

    Args:
        found: What was measured.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    share, places = found.share.tolist(), _beside(found)
    for arm, (name, color, symbol, size) in _LOOK.items():
        at = found.arm.index(arm)
        value, low, high = (
            getattr(found, f"accuracy{end}")[at].item() for end in ("", "_low", "_high")
        )
        figure.add_scatter(
            x=[places[arm]],
            y=plain_numbers([value]),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": plain_numbers([high - value]),
                "arrayminus": plain_numbers([value - low]),
                "color": color,
                "thickness": 1.5,
                "width": 3,
            },
            mode="markers",
            marker={
                "symbol": symbol,
                "size": size,
                "color": color,
                "line": {"color": color, "width": 1.5},
            },
            text=[_told(found, at, name, share[at])],
            hovertemplate="%{text}<extra></extra>",
            name=name,
        )
    style(figure, 440).update_layout(margin={"t": 128})
    figure.update_layout(
        title={
            "text": _title(found),
            "font": {"size": 14},
            "x": 0.01,
            "xanchor": "left",
            "y": 0.96,
            "yanchor": "top",
        }
    )
    figure.update_xaxes(title={"text": "tokens written for a problem"}, rangemode="tozero")
    figure.update_yaxes(title={"text": "share of problems solved by the vote"})
    return figure


def _beside(found: ThinkAtN) -> dict[str, float]:
    """Where each arm is drawn: at its tokens, or beside an arm that it would hide there."""
    gap = _APART * found.tokens.max().item()
    places: dict[str, float] = {}
    for arm in _LOOK:
        x = found.tokens[found.arm.index(arm)].item()
        while any(abs(x - other) < 0.99 * gap for other in places.values()):
            x += gap
        places[arm] = x
    return places


def _title(found: ThinkAtN) -> str:
    """What was done, and the comparison that it stands or falls with."""
    at, rival = found.arm.index("think"), found.rival.index("random")
    gain = [getattr(found, f"gain{end}")[rival, at].item() for end in ("", "_low", "_high")]
    return (
        f"<b>{label(found.model)}</b>, {len(found.problem)} problems: {found.n_kept} of {found.n} "
        f"samples by the first {found.prefix} tokens; against as many at random "
        f"{interval(*gain, digits=2)}"
    )


def _told(found: ThinkAtN, at: int, name: str, share: float) -> str:
    """Outcome, price and comparisons of one arm, as plotly shows them."""
    ends = torch.stack([found.accuracy_low, found.accuracy_high])[:, at].tolist()
    lines = [
        label(name),
        f"solved {number(found.accuracy[at].item())} [{number(ends[0])}, {number(ends[1])}]",
        f"{number(found.tokens[at].item(), digits=1)} tokens, {number(share)} of all samples'",
    ]
    for row, rival in enumerate(found.rival):
        gain = [getattr(found, f"gain{end}")[row, at].item() for end in ("", "_low", "_high")]
        if found.arm[at] != rival:
            lines.append(f"against {label(_LOOK[rival][0])} {interval(*gain)}")
    return "<br>".join(lines)
