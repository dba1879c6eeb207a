"""Pictures of how thoughts are written: calibration, corrections, length, and markers."""

from typing import Any

from elicit.results import Estimate, figure, label, marks, number
from elicit.results.marks import FAINT, MODELS, MUTED
from elicit.traces.calibrated import AnswerCalibration
from elicit.traces.epistemic import Epistemic
from elicit.traces.figures._rows import across, finite, write
from elicit.traces.lengths import LengthAgainst
from elicit.traces.reflection import Reflection


@figure.register
def calibration_figure(found: AnswerCalibration) -> Any:
    """Right answers against their share in bins, and the error rate of the most confident ones."""
    figure = marks.panels(1, 2, gaps=(None, 0.12))
    marks.style(figure, 340, top=84, legend="above").update_layout(margin={"b": 52, "l": 52})
    kept = found.coverage.tolist()
    for row, (name, color, symbol) in enumerate(MODELS):
        look = {"size": 8, "color": color, "symbol": symbol}
        filled = found.n_in_bin[row] > 0
        stated, right = found.stated[row][filled].tolist(), found.right[row][filled]
        sizes = found.n_in_bin[row][filled].tolist()
        where = [
            f"confidence {number(x, digits=2)} ({n} answers)"
            for x, n in zip(stated, sizes, strict=True)
        ]
        hover = marks.hovers(f"{name}, right at ", where, right)
        trace = marks.points(stated, right, color, hover, marker=look, line="solid")
        figure.add_trace(trace | {"name": name, "legendgroup": name}, row=1, col=1)
        risk = found.risk[row]
        hover = marks.hovers(f"{name}, wrong among the first ", [f"{x:.0%}" for x in kept], risk)
        trace = marks.points(kept, risk, color, hover, marker=look, line="solid")
        more = {"name": name, "legendgroup": name, "showlegend": False}
        figure.add_trace(trace | more, row=1, col=2)
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": FAINT, "width": 1, "dash": "dot"},
        hoverinfo="skip", showlegend=False, row=1, col=1,
    )  # fmt: skip
    marks.heading(figure, "right answers at each confidence", 1, 1)
    marks.heading(figure, "wrong answers among the most confident", 1, 2)
    figure.update_xaxes(title={"text": "share of the chosen answer"}, row=1, col=1)
    figure.update_xaxes(
        title={"text": "answers kept"}, tickformat=".0%", range=[0, 1.03], row=1, col=2
    )
    figure.update_yaxes(range=[-0.03, 1.05])
    return figure


@figure.register
def reflection_figure(found: Reflection) -> Any:
    """How often corrections and other steps fix or break the answer."""
    figure = marks.blank()
    rows = [i for i, unit in enumerate(found.unit) if unit == "share"]
    places = [i + 0.68 for i in range(len(rows))]
    marks.both_models(figure, places, found.estimate[rows], [found.metric[i] for i in rows])
    for place, row in zip(places, rows, strict=True):
        write(figure, place - 0.4, label(found.metric[row]), 12)
        if bool(found.estimate.value[row].isnan().all()):
            write(figure, place - 0.06, "no such step", 11, MUTED)
    across(figure, len(rows) + 0.15, "share of steps", (-0.03, 1.03))
    return figure


@figure.register
def lengths_figure(found: LengthAgainst) -> Any:
    """Rank correlations of length with work, distance and being right."""
    figure = marks.blank()
    names = ["with the work that is needed", "with distance from the base", "with being right"]
    table = Estimate.stack([found.work, found.distance, found.right])
    places = [i + 0.68 for i in range(len(names))]
    marks.both_models(figure, places, table, names)
    for place, name in zip(places, names, strict=True):
        write(figure, place - 0.4, name, 12)
    ends = [-1.0, 1.0, *finite(table.low), *finite(table.high)]
    across(figure, len(names) + 0.15, "rank correlation of length", (min(ends), max(ends)))
    marks.level(figure, 0, FAINT, upright=True)
    return figure


@figure.register
def epistemic_figure(found: Epistemic) -> Any:
    """Share of values after a marker, by how unsure the reader is of the value."""
    figure = marks.blank()
    for row, (name, color, symbol) in enumerate(MODELS):
        known = ~found.entropy[row].isnan()
        at, rate = found.entropy[row][known].tolist(), found.rate_by_entropy[row][known]
        hover = marks.hovers(f"{name}, ", [f"{number(x, digits=2)} nats" for x in at], rate)
        look = {"size": 8, "color": color, "symbol": symbol}
        trace = marks.points(at, rate, color, hover, marker=look, line="solid")
        figure.add_trace(trace | {"name": name})
    marks.style(figure, 320, top=44, legend="above").update_layout(margin={"b": 52})
    figure.update_xaxes(title={"text": "entropy at the value, nats (mean of a bin)"})
    figure.update_yaxes(title={"text": "values after a marker"}, range=[-0.03, 1.05])
    return figure
