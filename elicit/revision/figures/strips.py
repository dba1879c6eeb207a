"""One row's text with the depth at which each token's prediction settles, as a strip under it."""

from typing import Any

from elicit.results import label, marks, number
from elicit.revision.errors import RevisionError
from elicit.revision.figures.lines import lines_of, scale, token_axis
from elicit.revision.settling import Settling
from elicit.texts import LN2

EARLY, LATE = ("#f7f9fb", "#7fb2d6"), ("#f2b48a", "#d55e00")
"""Blue below the deep region, orange in it: what is deep is seen without reading a number."""
_CELL = 24


def strip_figure(settling: Settling, row: int = 0, source: str | None = None) -> Any:
    """The text of one row with the settling depth of every token under it, base over post.

    Args:
        settling: Depths that were read.
        row: Row within its source.
        source: Which source; the first if None.

    Raises:
        RevisionError: The row or source was not read.
    """
    s = settling
    source = source if source is not None else s.source[0]
    if source not in s.source:
        raise RevisionError(
            f"source is {source!r} and the traces are from {', '.join(s.source)}, so there is "
            "nothing to draw. Pass one of these."
        )
    here = s.source_of == s.source.index(source)
    index = (here & (s.row == row)).nonzero()[:, 0].tolist()
    if not index:
        last = int(s.row[here].max())
        raise RevisionError(
            f"row is {row} and rows of source {source!r} go from 0 to {last}, some without a "
            "token that is read, so there is nothing to draw. Pass another row."
        )
    lines = lines_of([s.token[i] for i in index])
    spans = lines.spans()
    height = _CELL * len(s.model)
    gap = lines.room + 12
    figure = marks.stack([height] * len(spans), gap)
    for line, span in enumerate(spans, 1):
        tokens = [index[i] for i in span]
        models = range(len(s.model))
        values = [s.depth[m, tokens].tolist() for m in models]
        words = [[_word(s, m, token) for token in tokens] for m in models]
        hover = [[_hover(s, m, token) for token in tokens] for m in models]
        look = {"textfont": {"size": 10}, "coloraxis": "coloraxis"}
        figure.add_trace(marks.heat(values, words, hover) | look, row=line, col=1)
    marks.style(figure, len(spans) * (height + gap) - gap + 12)
    figure.update_layout(margin={"b": 12})
    for line, span in enumerate(spans, 1):
        token_axis(figure, lines, span, line, side="top")
    first = s.convention.first_layer
    scale(
        figure,
        f"<b>{label(s.problem[int(s.problem_of[index[0]])])}</b> ({label(source)}){lines.cut}",
        f"number of layers run when the prediction of each token settles; orange and bold: deep, "
        f"from {s.deep_from} of {s.n_layers}",
        {
            "colorscale": _colors(first, s.deep_from, s.n_layers),
            "cmin": first - 0.5,
            "cmax": s.n_layers + 0.5,
            "colorbar": {"tickvals": sorted({first, s.deep_from, s.n_layers})},
        },
        room=lines.room,
    )
    figure.update_yaxes(
        tickvals=list(range(len(s.model))),
        ticktext=[label(name) for name in s.model],
        autorange="reversed",
        showgrid=False,
        showline=False,
        ticks="",
    )
    return figure


def _colors(first: int, deep_from: int, n_layers: int) -> list[list[float | str]]:
    """A scale with a step where deep begins."""
    step = (deep_from - first) / (n_layers + 1 - first)
    return [
        [0.0, EARLY[0]],
        [step, EARLY[1]],
        [step, LATE[0] if deep_from < n_layers else LATE[1]],
        [1.0, LATE[1]],
    ]


def _word(settling: Settling, model: int, token: int) -> str:
    """Depth as a cell shows it, bold where it is deep."""
    depth = int(settling.depth[model, token])
    return f"<b>{depth}</b>" if settling.deep[model, token] else str(depth)


def _hover(settling: Settling, model: int, token: int) -> str:
    """Depth of a token, and the divergences it comes from, as plotly shows them."""
    s = settling
    depth = int(s.depth[model, token])
    settled = "not before the end"
    if depth < s.n_layers:
        settled = f"settles after {depth} of {s.n_layers} layers" if depth else "at the embedding"
    bits = " ".join(number(value / LN2, digits=2) for value in s.jsd[model, :, token].tolist())
    return (
        f"“{label(s.token[token])}” in {label(s.model[model])}: {settled}"
        f"{' (deep)' if s.deep[model, token] else ''}<br>divergence by depth, bits: "
        + (bits if s.n_layers <= 12 else f"{bits[:60]}…")
    )
