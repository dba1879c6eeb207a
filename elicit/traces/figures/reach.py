"""Pictures of what several samples reach: pass@k beside chance, verified, and coverage."""

from typing import Any

from elicit.results import Estimate, figure, marks, number
from elicit.results.marks import FAINT, INK, MODELS
from elicit.traces.budgets import VoteSweep
from elicit.traces.figures._rows import finite
from elicit.traces.reach import Reach


@figure.register
def reach_figure(found: Reach) -> Any:
    """pass@k of both models with the level of chance, and counting only thoughts that hold."""
    checked = not bool(found.verified.value.isnan().all())
    figure = marks.panels(1, 1 + checked, gaps=(None, 0.08), shared="y")
    marks.style(figure, 340, top=84, legend="above").update_layout(margin={"b": 52, "l": 52})
    k = found.k.tolist()
    for row, (name, color, symbol) in enumerate(MODELS):
        look = {"size": 8, "color": color, "symbol": symbol}
        for column, (values, what) in enumerate(
            ((found.passed[row], "pass"), (found.verified[row], "verified"))[: 1 + checked]
        ):
            hover = marks.hovers(f"{name}, {what} at k = ", [str(each) for each in k], values)
            trace = marks.points(k, values, color, hover, marker=look, line="solid")
            more = {"name": name, "legendgroup": name, "showlegend": not column}
            figure.add_trace(trace | more, row=1, col=column + 1)
        figure.add_scatter(
            x=k,
            y=marks.plain_numbers(found.floor.value[row]),
            mode="lines",
            line={"color": color, "width": 1.5, "dash": "dot"},
            name=f"chance ({name})",
            text=marks.hovers(f"chance, {name}, k = ", [str(x) for x in k], found.floor[row]),
            hovertemplate="%{text}<extra></extra>",
            row=1,
            col=1,
        )
    marks.heading(figure, "the answer is right", 1, 1)
    if checked:
        marks.heading(figure, "and every step that is written holds", 1, 2)
    _samples(figure, k)
    figure.update_yaxes(title={"text": "pass@k"}, row=1, col=1)
    return figure


def coverage_figure(found: Reach) -> Any:
    """Share of the problems that post solves which base reaches with k samples, beside chance.

    Args:
        found: What both models reach.
    """
    figure = marks.blank()
    marks.style(figure, 300, top=44, legend="above").update_layout(margin={"b": 52, "l": 52})
    k = found.k.tolist()
    lines: tuple[tuple[Estimate, str, str], ...] = (
        (found.coverage, "reached by base", "circle"),
        (found.coverage_above, "above chance", "square-open"),
    )
    for values, name, symbol in lines:
        color = MODELS[0][1] if symbol == "circle" else INK
        hover = marks.hovers(f"{name}, k = ", [str(each) for each in k], values)
        look = {"size": 8, "color": color, "symbol": symbol}
        trace = marks.points(k, values, color, hover, marker=look, line="solid")
        figure.add_trace(trace | {"name": name})
    _samples(figure, k)
    # No share lies below -1: a bar that goes on says that little is known.
    lowest = max(-1.0, min([0.0, *finite(found.coverage_above.low)]))
    figure.update_yaxes(title={"text": "share of problems"}, range=[lowest - 0.03, 1.05])
    marks.level(figure, 0, FAINT)
    return figure


@figure.register
def votes_figure(found: VoteSweep) -> Any:
    """Right answers of both models' votes at equal tokens, and of one thought cut there."""
    figure = marks.blank()
    marks.style(figure, 320, top=64, legend="above").update_layout(margin={"b": 52, "l": 52})
    at = found.budget.tolist()
    for row, (name, color, symbol) in enumerate(MODELS):
        fits = found.n_votes[row].tolist()
        where = [f"{b} tokens ({number(n, digits=2)} votes)" for b, n in zip(at, fits, strict=True)]
        hover = marks.hovers(f"{name}, vote at ", where, found.accuracy[row])
        look = {"size": 8, "color": color, "symbol": symbol}
        trace = marks.points(at, found.accuracy[row], color, hover, marker=look, line="solid")
        figure.add_trace(trace | {"name": f"{name}, votes"})
        if bool(found.single.value[row].isnan().all()):
            continue
        figure.add_scatter(
            x=at,
            y=marks.plain_numbers(found.single.value[row]),
            mode="lines",
            line={"color": color, "width": 1.5, "dash": "dot"},
            name=f"{name}, one thought",
            text=marks.hovers(f"{name}, one thought cut at ", where, found.single[row]),
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_xaxes(
        type="log", title={"text": "tokens a problem"}, tickvals=at, ticktext=[str(b) for b in at]
    )
    figure.update_yaxes(title={"text": "right answers"}, range=[-0.03, 1.05])
    return figure


def _samples(figure: Any, k: list[int]) -> None:
    """An axis of samples that doubles."""
    figure.update_xaxes(
        type="log", title={"text": "samples k"}, tickvals=k, ticktext=[str(each) for each in k]
    )
    figure.update_yaxes(range=[-0.03, 1.05])
