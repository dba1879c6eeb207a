"""Effects of a factorial over boundaries."""

from collections.abc import Sequence
from typing import Any

from elicit.patching.columns import shown_pos
from elicit.patching.factorial_result import Factorial
from elicit.results import figure, label, marks
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION

_TERMS = {
    "wrote": ("upstream: wrote a signal", BLUE, "solid"),
    "reader": ("downstream: reads it", VERMILION, "solid"),
    "head": ("unembedding", INK, "solid"),
    "wrote:reader": ("upstream × downstream", MUTED, "dash"),
    "wrote:head": ("upstream × unembedding", FAINT, "dash"),
    "reader:head": ("downstream × unembedding", FAINT, "dot"),
    "wrote:reader:head": ("all three", FAINT, "dashdot"),
}
"""Name, colour and dash of each term of a factorial."""


@figure.register
def factorial_figure(
    factorial: Factorial, *, terms: Sequence[str] = ("wrote", "reader", "head", "wrote:reader")
) -> Any:
    """Effects of upstream, downstream and unembedding over boundaries, with intervals."""
    n = len(factorial.pos)
    figure = marks.panels(n, gaps=(0.3 / max(n, 1), None), shared="x")
    x = factorial.boundary.tolist()
    unit = label(factorial.unit)
    for column, pos in enumerate(factorial.pos):
        for place, term in enumerate(terms):
            name, color, dash = _TERMS[term]
            effect = factorial.effect[factorial.term.index(term), :, column]
            trace = marks.points(
                # Dodged, or the intervals of one boundary would overlap.
                [b + 0.07 * (place - (len(terms) - 1) / 2) for b in x],
                effect,
                color,
                marks.hovers(f"{name}<br>boundary ", list(map(str, x)), effect, unit),
                marker=marks.hollow(color, effect.clear, 7),
                line=dash,
            )
            legend = {"name": name, "legendgroup": term, "showlegend": column == 0}
            figure.add_trace(trace | legend, row=column + 1, col=1)
        marks.level(figure, 0, row=column + 1)
        title = f"<b>{label(factorial.metric)}</b>, position {label(shown_pos(pos))}"
        marks.heading(figure, title, column + 1)
        figure.update_yaxes(title={"text": unit}, row=column + 1, col=1)
    marks.style(figure, 120 + 300 * n, top=84, legend="above")
    figure.update_xaxes(dtick=1 if len(x) <= 24 else None)
    figure.update_xaxes(title={"text": "boundary: layers below it are upstream"}, row=n)
    return figure
