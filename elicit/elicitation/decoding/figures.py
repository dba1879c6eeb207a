"""Figures of decoding: accuracy by how far the dial is turned, by branches and by votes."""

from typing import Any

from elicit.elicitation.decoding.cot_decoding import CotDecoding
from elicit.elicitation.decoding.dial import DialCurve
from elicit.elicitation.decoding.votes import Votes
from elicit.results import figure, label, marks
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION


@figure.register
def dial_figure(found: DialCurve) -> Any:
    """Accuracy by how far base's logits are moved towards post's."""
    figure = marks.blank()
    order = found.alpha.argsort()
    alpha, accuracy = found.alpha[order].tolist(), found.accuracy[order]
    hover = marks.hovers("alpha ", [f"{value:g}" for value in alpha], accuracy)
    trace = marks.points(
        alpha, accuracy, BLUE, hover, marker={"size": 8, "color": BLUE}, line="solid"
    )
    figure.add_trace(trace | {"name": "accuracy"})
    for at, color in ((0.0, FAINT), (1.0, INK)):
        marks.level(figure, at, color, dash="dot", upright=True)
    if found.threshold == found.threshold:
        marks.level(figure, found.threshold, VERMILION, dash="dash", upright=True)
    marks.style(figure, 340, top=24, legend="none")
    figure.update_xaxes(title={"text": "alpha: 0 is base, 1 post"})
    figure.update_yaxes(title={"text": "right"}, range=[-0.03, 1.05])
    return figure


@figure.register
def branches_figure(found: CotDecoding) -> Any:
    """Accuracy by the number of first tokens that are branched into: picks, and the oracle."""
    figure = marks.blank()
    colors = {"oracle": INK, "max": VERMILION, "sum": BLUE}
    for place, name in enumerate(found.curve):
        color = colors.get(name, MUTED)
        own, k = found.accuracy[:, place], found.k.tolist()
        hover = marks.hovers(f"{label(name)}, k = ", [str(value) for value in k], own)
        line = "dot" if name == "oracle" else "solid"
        marker = {"size": 7, "color": color}
        trace = marks.points(k, own, color, hover, marker=marker, line=line)
        figure.add_trace(trace | {"name": label(name)})
    if found.target_accuracy == found.target_accuracy:
        marks.level(figure, found.target_accuracy, INK, dash="dash")
    marks.style(figure, 360, top=48, legend="above")
    figure.update_xaxes(title={"text": "first tokens branched into, k"}, tickformat="d", nticks=10)
    figure.update_yaxes(title={"text": "right"}, range=[-0.03, 1.05])
    return figure


@figure.register
def votes_figure(found: Votes) -> Any:
    """Accuracy of the vote of k sampled texts."""
    figure = marks.blank()
    k = found.k.tolist()
    hover = marks.hovers("k = ", [str(value) for value in k], found.accuracy)
    marker = {"size": 7, "color": BLUE}
    trace = marks.points(k, found.accuracy, BLUE, hover, marker=marker, line="solid")
    figure.add_trace(trace | {"name": "vote"})
    marks.style(figure, 320, top=24, legend="none")
    figure.update_xaxes(title={"text": "sampled texts that vote, k"}, tickformat="d", nticks=10)
    figure.update_yaxes(title={"text": "right"}, range=[-0.03, 1.05])
    return figure
