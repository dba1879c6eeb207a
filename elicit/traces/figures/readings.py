"""Pictures of written thoughts: what altered and shortened ones do to either model's answers."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Estimate, figure, label, marks, number
from elicit.results.marks import FAINT, MODELS, MUTED, RULE
from elicit.traces.conclusion import Conclusion
from elicit.traces.dependence import Dependence
from elicit.traces.discrimination import Discrimination
from elicit.traces.figures._rows import HEAD, ROW, across, faint, finite, write
from elicit.traces.information import Information
from elicit.traces.ledger import Ledger

GROUPS = {
    "The thought’s conclusion is changed": ("follows", "flips"),
    "Controls: other changes of the thought": (
        "same when operands are swapped",
        "follows another problem's thought",
        "accuracy after filler",
    ),
    "Controls: another question": (
        "sufficient with another question",
        "follows the edited question without thought",
        "follows the edited question with the old thought",
    ),
    "The thought is cut short": (
        "early answering",
        "CIR",
        "CIR where the thought is needed",
    ),
    "Nothing is changed": ("accuracy", "accuracy without thought"),
}
"""Metrics of `Dependence` as the picture and the table arrange them."""


def grouped(metrics: Sequence[str]) -> dict[str, list[int]]:
    """Places of metrics by the group that shows them; those of no group come last.

    Args:
        metrics: Names of a result's metrics.
    """
    known = {name for names in GROUPS.values() for name in names}
    found = {
        head: [metrics.index(name) for name in names if name in metrics]
        for head, names in GROUPS.items()
    }
    found["Others"] = [i for i, name in enumerate(metrics) if name not in known]
    return {head: places for head, places in found.items() if places}


@figure.register
def dependence_figure(found: Dependence) -> Any:
    """Every metric of both models side by side, `follows` on top, then its controls."""
    figure = marks.blank()
    rows: list[int] = []
    places: list[float] = []
    heads: list[tuple[float, str]] = []
    at = 0.0
    for head, metrics in grouped(found.metric).items():
        heads.append((at, head))
        at += HEAD / ROW
        for metric in metrics:
            rows.append(metric)
            places.append(at + 0.68)
            at += 1
    names = [found.metric[i] for i in rows]
    marks.both_models(figure, places, found.estimate[rows], names)
    for place, row in zip(places, rows, strict=True):
        missing = bool(found.estimate.value[row].isnan().all())
        strong = found.metric[row] == "follows"
        name = label(found.metric[row])
        write(figure, place - 0.4, f"<b>{name}</b>" if strong else name, 12)
        if missing:
            write(figure, place - 0.06, "not measured", 11, MUTED)
    for place, head in heads:
        write(figure, place + HEAD / ROW - 0.2, head, 12, MUTED)
        if place:
            marks.level(figure, place + 0.1, RULE)
    across(figure, at + 0.15, "share", (-0.03, 1.03))
    for edge in (0, 1):
        marks.level(figure, edge, FAINT, upright=True)
    return figure


@figure.register
def discrimination_figure(found: Discrimination) -> Any:
    """Area under the ROC curve of every signal, both models side by side."""
    figure = marks.blank()
    places = [i + 0.68 for i in range(len(found.signal))]
    marks.both_models(figure, places, found.auroc, found.signal)
    for place, name, value in zip(places, found.signal, found.auroc.value, strict=True):
        write(figure, place - 0.4, label(name), 12)
        if bool(value.isnan().all()):
            write(figure, place - 0.06, "no area: all answers right, or all wrong", 11, MUTED)
    ends = [0.0, 1.0, *finite(found.auroc.low), *finite(found.auroc.high)]
    across(
        figure, len(places) + 0.15, "area under the ROC curve", (min(ends) - 0.03, max(ends) + 0.03)
    )
    marks.level(figure, 0.5, FAINT, dash="dot", upright=True)
    return figure


@figure.register
def conclusion_figure(found: Conclusion) -> Any:
    """Accuracy of both models when thoughts are cut, against the share that is read."""
    figure = marks.blank()
    read = found.tenth.tolist()
    for row, (name, color, symbol) in enumerate(MODELS):
        values = found.by_budget[row]
        _line(figure, read, values, name, color, symbol, "right answers")
    marks.style(figure, 320, top=44, legend="above").update_layout(margin={"b": 52})
    figure.update_xaxes(title={"text": "share of the thought that is read"}, tickformat=".0%")
    figure.update_yaxes(title={"text": "right answers"}, range=[-0.03, 1.05])
    return figure


@figure.register
def information_figure(found: Information) -> Any:
    """Gain of every problem, and its mean with the interval, by model."""
    figure = marks.blank()
    row = found.metric.index("gain")
    values = found.by_problem[row]
    for column, (name, color, _) in enumerate(MODELS):
        plain = marks.plain_numbers(values[column])
        known = [(i, x) for i, x in enumerate(plain) if x is not None]
        figure.add_scatter(
            x=[x for _, x in known],
            # Spread by place, not at random: equal results give equal pictures.
            y=[column + 0.62 + 0.3 * ((7 * i) % 19) / 18 for i, _ in known],
            mode="markers",
            marker={"size": 5, "color": color, "opacity": 0.4},
            text=[f"{name}, {label(found.problem[i])}: {number(x)} bits" for i, x in known],
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    marks.both_models(figure, [0.36, 1.14], _diagonal(found.estimate[row]), ["mean", "mean"])
    across(figure, 2.1, "gain, bits", None)
    marks.level(figure, 0, FAINT, upright=True)
    return figure


@figure.register
def ledger_figure(found: Ledger) -> Any:
    """Share of the right answer while these thoughts are read, both models."""
    return gain_figure(found, found)


def gain_figure(base: Ledger, post: Ledger) -> Any:
    """Share of the right answer while thoughts are read: median and middle half of problems.

    Args:
        base: What base reads.
        post: What post reads; the same ledger where thoughts were given.
    """
    figure = marks.blank()
    tenths = [i / 10 for i in range(11)]
    for scorer, (ledger, (name, color, symbol)) in enumerate(
        zip((base, post), MODELS, strict=True)
    ):
        low, middle, high = torch.quantile(
            gold_shares(ledger, scorer), torch.tensor([0.25, 0.5, 0.75]).double(), dim=0
        )
        figure.add_scatter(
            x=[*tenths, *tenths[::-1]],
            y=[*low.tolist(), *high.tolist()[::-1]],
            fill="toself",
            fillcolor=faint(color),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
        _line(figure, tenths, middle, name, color, symbol, "right answer’s share, median")
    marks.style(figure, 320, top=44, legend="above").update_layout(margin={"b": 52})
    figure.update_xaxes(title={"text": "share of the thought that is read"}, tickformat=".0%")
    figure.update_yaxes(title={"text": "share of the right answer"}, range=[-0.03, 1.05])
    return figure


def gold_shares(ledger: Ledger, scorer: int) -> Float[Tensor, "thought tenth"]:
    """Share of the right answer when thoughts are cut at 0, 10, ... 100 % of their tokens.

    Each at the last cut that is not later, as `Conclusion.by_budget` has it.

    Args:
        ledger: A reading of thoughts.
        scorer: Place of the model.
    """
    share, rows = ledger.share[scorer], []
    for thought in range(len(ledger)):
        lanes = ledger.lanes_of(thought)
        own, at = share[lanes, int(ledger.gold[thought])], ledger.lane_at[lanes]
        reached = [int((at <= int(at[-1]) * t / 10 + 1e-9).nonzero()[-1]) for t in range(11)]
        rows.append(own[reached].double())
    return torch.stack(rows)


def _diagonal(estimate: Estimate) -> Estimate:
    """Each model's number in a row of its own."""
    here = torch.eye(2, dtype=torch.bool)
    return estimate.map(lambda x: torch.where(here, x.double(), torch.nan))


def _line(
    figure: Any,
    at: Sequence[float],
    values: Float[Tensor, " tenth"],
    name: str,
    color: str,
    symbol: str,
    what: str,
) -> None:
    figure.add_scatter(
        x=list(at),
        y=marks.plain_numbers(values),
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"color": color, "symbol": symbol, "size": 7},
        name=name,
        text=[
            f"{name}, {100 * x:.0f} % read: {what} {number(y, digits=2)}"
            for x, y in zip(at, values.tolist(), strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
    )
