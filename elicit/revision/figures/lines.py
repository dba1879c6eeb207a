"""Rows of tokens broken into lines, so that a long one stays readable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from elicit.results import label, marks

LINE, WIDE, LEAST = 40, 24, 24
"""Tokens in a line where words are short, where they are not, and that every line has room for."""
SHORT = 3
"""Letters of a short word."""
MOST = 640
"""Tokens that are drawn of one row; more would be taller than anybody scrolls."""
_LABEL, _TOP = 12, 100
"""Letters of a word along an axis; pixels of the title and the scale."""


def after(depth: int) -> str:
    """Where in the network a reading was made, never to be taken for a layer's index.

    >>> after(0), after(1), after(4)
    ('embedding', 'after 1 layer', 'after 4 layers')
    """
    return f"after {depth} layer{'s' if depth > 1 else ''}" if depth else "embedding"


@dataclass(frozen=True, kw_only=True)
class Lines:
    """A row of tokens in lines of one width."""

    starts: tuple[int, ...]
    """First token of each line."""
    width: int
    """Tokens in a line; the last may have fewer."""
    n: int
    """Tokens drawn."""
    total: int
    """Tokens there are."""
    words: tuple[str, ...]
    """Tokens as axes show them, fit for plotly."""

    @property
    def letters(self) -> int:
        """Letters that a cell has room for."""
        return SHORT if self.width == LINE else SHORT + 2

    @property
    def turned(self) -> bool:
        """Whether words stand on end."""
        return self.width == WIDE

    @property
    def room(self) -> int:
        """Pixels that the words over or under a line need."""
        longest = max((len(word) for word in self.words), default=1)
        return 20 + (7 * min(longest, _LABEL) if self.turned else 0)

    @property
    def cut(self) -> str:
        """What a title adds where not all is drawn; empty where all is."""
        return "" if self.n == self.total else f", first {self.n} of {self.total} tokens"

    def spans(self) -> list[range]:
        """Tokens of each line."""
        return [range(start, min(start + self.width, self.n)) for start in self.starts]


def lines_of(tokens: Sequence[str]) -> Lines:
    """Break a row into lines."""
    n = min(len(tokens), MOST)
    width = LINE if all(len(token.strip()) <= SHORT for token in tokens[:n]) else WIDE
    return Lines(
        starts=tuple(range(0, n, width)),
        width=width,
        n=n,
        total=len(tokens),
        words=tuple(label(token, _LABEL) for token in tokens[:n]),
    )


def scale(figure: Any, title: str, what: str, colors: dict[str, Any], room: int) -> None:
    """Give a figure its title, and under it its colour scale, seen however wide the figure is.

    `colors`: the colour axis but for its bar's place. `room`: pixels under the scale for words
    that stand over the first line.
    """
    height = figure.layout.height + _TOP + room
    # Its place says how far down it is: its padding would push the first line down as well.
    place = {"y": 1 - 52 / height, "ypad": 0}
    bar = {**colors.pop("colorbar", {}), **marks.BAR_ABOVE, **place}
    figure.update_layout(
        showlegend=False,
        height=height,
        margin={"t": _TOP + room, "r": 16},
        coloraxis={**colors, "colorbar": bar},
        title={
            "text": f"{title}<br>{what}",
            "font": {"size": 13},
            "x": 0.01,
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 12},
        },
    )


def token_axis(figure: Any, lines: Lines, span: range, row: int, *, side: str) -> None:
    """Write the tokens of a line along its axis."""
    shown = max(min(lines.width, lines.n), LEAST)
    figure.update_xaxes(
        # One width for all lines, so that a short last one has cells like the others.
        range=[-0.5, shown - 0.5],
        tickvals=list(range(len(span))),
        ticktext=[lines.words[i] for i in span],
        tickangle=-90 if lines.turned else 0,
        tickfont={"size": 11},
        ticks="",
        showline=False,
        side=side,
        row=row,
        col=1,
    )
