"""Figures of decoding: accuracy over branches, votes and the dial, and beside a control."""

from collections.abc import Sequence
from typing import Any

import torch

from elicit.elicitation.decoding.budget_forcing import BudgetForced
from elicit.elicitation.decoding.cot_decoding import CotDecoding
from elicit.elicitation.decoding.dial import DialCurve
from elicit.elicitation.decoding.power_sampling import PowerSample
from elicit.elicitation.decoding.votes import Votes
from elicit.results import Estimate, figure, label, marks, number
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION

_CURVES = {
    "sum": ("picked by summed confidence", BLUE, "circle"),
    "max": ("picked by the surest branch", VERMILION, "diamond"),
    "oracle": ("any branch (oracle)", MUTED, "circle-open"),
}


@figure.register
def cot_figure(result: CotDecoding) -> Any:
    """Accuracy over the number of branches, and the confidence of branches by their rank."""
    drawn = marks.panels(2, heights=[0.62, 0.38], gaps=(0.16, None), shared="x")
    k = result.k.tolist()
    for at, curve in enumerate(result.curve):
        name, color, symbol = _CURVES[curve]
        _line(drawn, k, result.accuracy[:, at], name, color, symbol, unit="branches")
    if result.target:
        marks.level(drawn, result.target_accuracy, INK, dash="dot", row=1)
    sure = result.confidence.nanmean(0)
    share = (~result.confidence.isnan()).double().mean(0)
    drawn.add_trace(
        {
            "type": "scatter",
            "x": k,
            "y": marks.plain_numbers(sure),
            "mode": "markers",
            "marker": {"color": INK, "size": [4 + 8 * each for each in share.tolist()]},
            "text": [
                f"branch {rank}: {number(mean)}, in {number(part)} of problems"
                for rank, mean, part in zip(k, sure.tolist(), share.tolist(), strict=True)
            ],
            "hovertemplate": "%{text}<extra></extra>",
            "showlegend": False,
        },
        row=2,
        col=1,
    )
    marks.style(drawn, 480, top=92, legend="above")
    goal = f"; dotted: {label(result.target)}" if result.target else ""
    marks.heading(drawn, f"<b>CoT-decoding</b>, {len(result.problem)} problems{goal}", 1)
    marks.heading(drawn, "confidence in the answer, by rank of the first token", 2)
    drawn.update_yaxes(title={"text": "accuracy"}, range=[-0.03, 1.05], row=1, col=1)
    drawn.update_yaxes(title={"text": "lead in probability"}, range=[-0.03, 1.05], row=2, col=1)
    drawn.update_xaxes(title={"text": "first tokens branched into"}, row=2, col=1)
    return drawn


@figure.register
def dial_figure(result: DialCurve) -> Any:
    """Accuracy by how far logits are moved towards post's, and how many texts are post's."""
    drawn = marks.blank()
    alpha = result.alpha.tolist()
    _line(drawn, alpha, result.accuracy, "accuracy", BLUE, "circle", unit="alpha", paneled=False)
    drawn.add_trace(
        {
            "type": "scatter",
            "x": alpha,
            "y": marks.plain_numbers(result.same_as_post),
            "mode": "lines",
            "line": {"color": FAINT, "dash": "dot"},
            "name": "texts that are post's",
        }
    )
    marks.style(drawn, 380, top=80)
    for at in (0.0, 1.0):
        marks.level(drawn, at, FAINT, dash="dot", upright=True)
    drawn.update_xaxes(title={"text": "alpha: 0 is base, 1 is post"})
    drawn.update_yaxes(title={"text": "share of problems"}, range=[-0.03, 1.05])
    return drawn


@figure.register
def votes_figure(result: Votes) -> Any:
    """Accuracy of the vote over texts, beside pass@k and what chance reaches of it."""
    drawn, k = marks.blank(), result.k.tolist()
    passed = result.passed
    look = (
        (result.accuracy, "vote", BLUE, "circle"),
        (passed.passed, "any is right (pass@k)", MUTED, "circle-open"),
        (passed.floor, "any is right, by chance", FAINT, "x"),
    )
    for estimate, name, color, symbol in look:
        _line(drawn, k, estimate, name, color, symbol, unit="texts", paneled=False)
    marks.style(drawn, 380, top=80)
    drawn.update_xaxes(title={"text": "sampled texts of a problem"})
    drawn.update_yaxes(title={"text": "share of problems"}, range=[-0.03, 1.05])
    return drawn


@figure.register
def power_figure(result: PowerSample) -> Any:
    """Accuracy of sharpened texts beside cold ones, and how many particles count."""
    drawn = marks.panels(1, 2, gaps=(None, 0.16))
    names = [f"alpha = {result.alpha:g}, whole texts", f"temperature {1 / result.alpha:.2g}"]
    _dots(drawn, names, result.accuracy, [BLUE, MUTED])
    share = result.least_ess / result.log_weight.shape[1]
    drawn.add_trace(
        {
            "type": "histogram",
            "x": marks.plain_numbers(share),
            "xbins": {"start": 0, "end": 1.0001, "size": 0.1},
            "marker": {"color": INK},
            "hovertemplate": "%{x}: %{y} problems<extra></extra>",
            "showlegend": False,
        },
        row=1,
        col=2,
    )
    marks.style(drawn, 320, legend="none")
    marks.heading(drawn, f"{len(result.problem)} problems", 1, 1)
    marks.heading(drawn, "least effective share of particles", 1, 2)
    drawn.update_yaxes(title={"text": "problems"}, row=1, col=2)
    return drawn


@figure.register
def budget_figure(result: BudgetForced) -> Any:
    """Accuracy of forced texts beside the model's own, and the tokens of their thoughts."""
    drawn = marks.panels(1, 2, gaps=(None, 0.16))
    _dots(drawn, list(result.text_kind), result.accuracy, [MUTED, BLUE])
    for at, (kind, color) in enumerate(zip(result.text_kind, (MUTED, BLUE), strict=True)):
        drawn.add_trace(
            {
                "type": "box",
                "x": result.n_thought[:, at].tolist(),
                "name": label(kind),
                "marker": {"color": color},
                "boxpoints": False,
                "showlegend": False,
            },
            row=1,
            col=2,
        )
    marks.style(drawn, 320, legend="none")
    marks.heading(drawn, f"{len(result.problem)} problems", 1, 1)
    marks.heading(drawn, "tokens of the thought", 1, 2)
    return drawn


def _line(
    drawn: Any,
    at: Sequence[int | float],
    estimate: Estimate,
    name: str,
    color: str,
    symbol: str,
    *,
    unit: str,
    paneled: bool = True,
) -> None:
    """One curve with its intervals."""
    places = [f"{each:g} {unit}" for each in at]
    hover = marks.hovers(f"{label(name)}, ", places, estimate)
    marker = {"size": 7, "symbol": symbol, "color": color}
    trace = marks.points(at, estimate, color, hover, marker=marker, line="solid")
    where = {"row": 1, "col": 1} if paneled else {}
    drawn.add_trace(trace | {"name": name, "line": {"color": color, "width": 2}}, **where)


def _dots(drawn: Any, names: list[str], estimate: Estimate, colors: Sequence[str]) -> None:
    """Accuracies with their intervals, one below the other, in the first panel."""
    for at, (name, color) in enumerate(zip(names, colors, strict=True)):
        one = estimate[torch.tensor([at])]
        hover = marks.hovers("", [name], one)
        marker = {"size": 10, "color": color}
        trace = marks.points([at], one, color, hover, marker=marker, across=True)
        drawn.add_trace(trace | {"showlegend": False}, row=1, col=1)
    drawn.update_xaxes(title={"text": "accuracy"}, range=[-0.03, 1.05], row=1, col=1)
    rows = {"tickvals": list(range(len(names))), "ticktext": [label(name) for name in names]}
    drawn.update_yaxes(rows, range=[len(names) - 0.4, -0.6], showgrid=False, row=1, col=1)
