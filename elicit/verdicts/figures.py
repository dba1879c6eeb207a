"""Pictures of verdicts: every rung beside its control, every primary of base beside post's."""

from collections.abc import Sequence
from typing import Any

from elicit.results import Estimate, figure, interval, label, marks, number
from elicit.results.marks import BLUE, FAINT, INK, MUTED, RULE, VERMILION
from elicit.verdicts._origin_figure import origin_figure
from elicit.verdicts.ladder import Ladder
from elicit.verdicts.rungs import ANEW
from elicit.verdicts.scorecard import Scorecard
from elicit.verdicts.style import StyleOrAbility

__all__ = ["ladder_figure", "origin_figure", "profile_figure", "scorecard_figure", "sweep_figure"]

_RUNG = 66
_PRIMARY = 50
_MARKS = {
    "passed": ("passed", BLUE, "circle"),
    "trivial": ("trivial", BLUE, "diamond-open-dot"),
    "not distinguishable": ("not distinguishable", INK, "circle-open"),
    "under-powered": ("under-powered", INK, "diamond-open"),
}
_CURVES = {
    "base": (BLUE, "solid"),
    "post": (VERMILION, "solid"),
    ANEW: (INK, "dash"),
    "shuffled labels": (FAINT, "dot"),
    "labels by type": (FAINT, "dash"),
}
_RATE = [[0.0, "#f7f7f7"], [1.0, BLUE]]
_CELLS = 84
"""Cells of a panel up to which each has its number written in it."""


@figure.register
def ladder_figure(ladder: Ladder) -> Any:
    """Every rung from below up, its number filled where it passed, its strongest control grey."""
    figure = marks.blank()
    _points(figure, ladder, ladder.rung, "strongest control", MUTED, "line-ns-open", control=True)
    for status, (name, color, symbol) in _MARKS.items():
        shown = [r for r, s in zip(ladder.rung, ladder.status, strict=True) if s == status]
        if shown:
            _points(figure, ladder, shown, name, color, symbol)
    for place, status in enumerate(ladder.status):
        if status == "not run":
            look = {"xanchor": "left", "xshift": 6, "font": {"color": MUTED}}
            figure.add_annotation(x=0, y=place, text="not run", showarrow=False, **look)
    marks.level(figure, 0, upright=True)
    marks.level(figure, 1, dash="dot", upright=True)
    marks.style(figure, _RUNG * len(ladder.rung) + 150, top=44, legend="above")
    figure.update_layout(margin={"b": 56, "l": 16})
    figure.update_xaxes(title={"text": "share (of prompts, of texts, of the gap)"})
    figure.update_yaxes(
        showticklabels=False, range=[-0.5, len(ladder.rung) - 0.3], showgrid=False, ticks=""
    )
    for place, rung in enumerate(ladder.rung):
        # Above the row and not beside it, so that a narrow screen has room for the numbers.
        figure.add_annotation(
            text=f"<b>{label(rung)}</b> {label(ladder.claim[place])}, {label(ladder.unit[place])}",
            x=0, xref="paper", xanchor="left", y=place + 0.2, yanchor="bottom", showarrow=False,
            font={"size": 12}, bgcolor="rgba(255,255,255,0.8)",
        )  # fmt: skip
        marks.level(figure, place - 0.45, RULE)
    return figure


@figure.register
def scorecard_figure(card: Scorecard) -> Any:
    """Both models' value of every primary, the shares above and what has another unit below."""
    shares = [i for i, unit in enumerate(card.unit) if unit == "share"]
    others = [i for i, unit in enumerate(card.unit) if unit != "share"]
    panels = [rows for rows in (shares, others) if rows]
    figure = marks.stack([_PRIMARY * len(rows) for rows in panels], 52)
    for panel, rows in enumerate(panels, 1):
        places = [i + 0.62 for i in range(len(rows))]
        names = [card.primary[i] for i in rows]
        own = card.value[rows]
        marks.both_models(figure, places, own, names, legend=panel == 1, at=(panel, 1))
    marks.style(
        figure, _PRIMARY * len(card.primary) + 52 * len(panels) + 44, top=40, legend="above"
    )
    figure.update_layout(margin={"b": 52, "l": 16})
    for panel, rows in enumerate(panels, 1):
        unit = "share" if rows is shares else " · ".join(dict.fromkeys(card.unit[i] for i in rows))
        here = {"row": panel, "col": 1}
        figure.update_xaxes(title={"text": label(unit)}, **here)
        figure.update_yaxes(
            showticklabels=False, range=[len(rows), 0], showgrid=False, ticks="", **here
        )
        for place, i in enumerate(rows):
            told = interval(*card.difference[i].ends, digits=2)
            if not bool(card.value.value[i].isnan().all()):
                told = f"post minus base {told}" if told != "–" else "no difference measured"
            else:
                told = "not measured"
            figure.add_annotation(
                text=f"<b>{label(card.primary[i])}</b> {told}", x=0, xref="paper", xanchor="left",
                xshift=4, y=place + 0.06, yanchor="top", showarrow=False, font={"size": 12},
                bgcolor="rgba(255,255,255,0.8)", **({"yref": f"y{panel}"} if panel > 1 else {}),
            )  # fmt: skip
        marks.level(figure, 0, FAINT, row=None if len(panels) == 1 else panel, upright=True)
    ends = [0.0, 1.0]
    for values in (card.value.low[shares], card.value.high[shares]):
        ends += values[values.isfinite()].tolist()
    figure.update_xaxes(range=[min(ends) - 0.03, max(ends) + 0.03], row=1, col=1)
    return figure


def profile_figure(ladder: Ladder) -> Any:
    """Area under the ROC curve of probes of either model at every site, with their controls."""
    figure = marks.blank()
    places = list(range(len(ladder.site)))
    # Controls first, so that what they are compared with is drawn over them.
    for row in reversed(range(len(ladder.curve))):
        name, line = ladder.curve[row], ladder.auroc[row]
        color, dash = _CURVES[name]
        strong = name in ("base", "post")
        error = marks.bars(line, color, thickness=1, width=2) | {"visible": strong}
        hover = marks.hovers(f"{label(name)}, ", ladder.site, line)
        marker = {"size": 6 if strong else 4}
        trace = marks.points(places, line, color, hover, marker=marker, line=dash, error=error)
        trace["line"]["width"] = 2 if strong else 1.5
        figure.add_trace(trace | {"name": name if strong else f"control: {name}"})
    marks.level(figure, 0.5)
    marks.style(figure, 380, top=84, legend="above")
    figure.update_layout(margin={"b": 56}, legend={"traceorder": "reversed"})
    names = [label(name, 20) for name in ladder.site]
    figure.update_xaxes(marks.ticks(names, turned=len(names) > 8), automargin=True)
    figure.update_yaxes(title={"text": "area under the ROC curve"})
    return figure


def sweep_figure(ladder: Ladder) -> Any:
    """Share of texts turned at every site and strength that was tried, one panel a model."""
    n = len(ladder.model)
    figure = marks.panels(cols=n, gaps=(None, 0.06), shared="y")
    strengths = [f"{strength:g}" for strength in ladder.strength.tolist()]
    few = len(ladder.site) * len(strengths) <= _CELLS
    title = {"text": "share", "side": "right", "font": {"size": 12}}
    for column, model in enumerate(ladder.model):
        rates = ladder.sweep[column].tolist()
        words = [[number(rate, digits=2) for rate in row] for row in rates]
        hover = [
            [
                f"{label(model)}, {label(site)}, strength {strength}: {word}"
                for strength, word in zip(strengths, row, strict=True)
            ]
            for site, row in zip(ladder.site, words, strict=True)
        ]
        trace = marks.heat(rates, words if few else None, hover) | {
            "x": list(range(len(strengths))),
            "y": list(range(len(ladder.site))),
            "zmin": 0,
            "zmax": 1,
            "colorscale": _RATE,
            "showscale": column == n - 1,
            "colorbar": {"title": title, "thickness": 12, "len": 0.9},
            "textfont": {"size": 11},
        }
        figure.add_trace(trace, row=1, col=column + 1)
        _outline(figure, ladder, column)
    marks.style(figure, 26 * max(len(ladder.site), 6) + 130, top=40, legend="none")
    figure.update_layout(margin={"b": 52})
    what = {"base": "base, direction added", "post": "post, direction taken off"}
    if n > 1 and "-" not in ladder.place[2]:
        what["post"] = "post, direction added"
    for column, model in enumerate(ladder.model, 1):
        marks.heading(figure, f"<b>{what[model]}</b>", 1, column)
    figure.update_xaxes(
        tickvals=list(range(len(strengths))), ticktext=strengths, title={"text": "strength"}
    )
    step = 1 if len(ladder.site) <= 40 else 4
    figure.update_yaxes(showgrid=False, ticks="")
    names = [label(name, 20) for name in ladder.site[::step]]
    places = list(range(0, len(ladder.site), step))
    figure.update_yaxes(tickvals=places, ticktext=names, row=1, col=1)
    return figure


def _outline(figure: Any, ladder: Ladder, column: int) -> None:
    """A frame around the cell that was chosen."""
    chosen = ladder.place[3 - column]
    site, _, strength = chosen.partition(", ")
    if not chosen:
        return
    x = [abs(s - abs(float(strength))) < 1e-9 for s in ladder.strength.tolist()].index(True)
    y = ladder.site.index(site)
    figure.add_shape(
        type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5,
        line={"color": VERMILION, "width": 2}, row=1, col=column + 1,
    )  # fmt: skip


def _points(
    figure: Any,
    ladder: Ladder,
    rungs: Sequence[str],
    name: str,
    color: str,
    symbol: str,
    *,
    control: bool = False,
) -> None:
    """One number a rung with its interval; the control a little below the rung's own."""
    places = [ladder.rung.index(rung) for rung in rungs]
    estimate = (ladder.control if control else ladder.value)[places]
    hover = marks.hovers("", rungs, estimate)
    if control:
        hover = [
            f"{word}, {label(ladder.control_name[at])}"
            for word, at in zip(hover, places, strict=True)
        ]
    trace = marks.points(
        [place - 0.18 * control for place in places],
        estimate,
        color,
        hover,
        marker={"color": color, "symbol": symbol, "size": 10, "line": {"width": 2, "color": color}},
        error=marks.bars(estimate, color, width=4),
        across=True,
    )
    figure.add_trace(trace | {"name": name})


@figure.register
def style_figure(found: StyleOrAbility) -> Any:
    """What free texts show, and right answers in one form and in free texts, of both models."""
    names = [*(f"free texts: {name}" for name in found.style), "right in one form", "right, free"]
    rows = [*(found.shown[i] for i in range(len(found.style))), found.matched, found.free]
    figure = marks.blank()
    marks.both_models(figure, [i + 0.68 for i in range(len(rows))], Estimate.stack(rows), names)
    for place, name in enumerate(names):
        figure.add_annotation(
            text=label(name), x=0, xref="paper", xanchor="left", xshift=4, y=place + 0.28,
            showarrow=False, font={"size": 12, "color": INK}, bgcolor="rgba(255,255,255,0.8)",
        )  # fmt: skip
    marks.style(figure, _PRIMARY * len(rows) + 104, top=40, legend="above")
    figure.update_layout(margin={"b": 56, "l": 16})
    figure.update_xaxes(title={"text": "share of problems"}, range=[-0.03, 1.03])
    figure.update_yaxes(showticklabels=False, range=[len(rows) + 0.15, 0], showgrid=False, ticks="")
    return figure
