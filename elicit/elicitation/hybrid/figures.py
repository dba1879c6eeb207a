"""Figures of a guided hybrid: the gates on one axis, and what each touched."""

from typing import Any

from elicit.elicitation.hybrid.measure import Hybrid
from elicit.results import Estimate, figure, label, marks
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION

_LOOKS = {
    "steered": ("vector where a switch fires", BLUE, "circle"),
    "baseline": ("another way to the same end", VERMILION, "diamond"),
    "control": ("control", MUTED, "circle-open"),
}


@figure.register
def hybrid_figure(found: Hybrid) -> Any:
    """Accuracy of every gate beside base and post, and the share of tokens that it touched."""
    figure = marks.panels(2, heights=[0.5, 0.5], gaps=(0.2, None), shared="")
    names = [_name(found, place) for place in range(len(found.arm))]
    for panel, values in ((1, found.accuracy), (2, found.touched)):
        for kind, (name, color, symbol) in _LOOKS.items():
            places = [i for i, one in enumerate(found.kind) if one == kind]
            if not places:
                continue
            own = Estimate.stack([values[i] for i in places])
            hover = marks.hovers("", [found.arm[i] for i in places], own)
            marker = {"color": color, "symbol": symbol, "size": 10, "line": {"width": 2}}
            trace = marks.points(places, own, color, hover, marker=marker, across=True)
            figure.add_trace(trace | {"name": name, "showlegend": panel == 1}, row=panel, col=1)
    for at, color in zip(found.alone_accuracy.value.tolist(), (FAINT, INK), strict=True):
        marks.level(figure, at, color, dash="dot", upright=True, row=1)
    n = len(found.problem)
    marks.style(figure, 52 * len(names) + 210, top=92, legend="above")
    marks.heading(figure, f"accuracy on {n} problems; dotted: base and post alone", 1)
    marks.heading(figure, "share of tokens touched", 2)
    rows = {"tickvals": list(range(len(names))), "ticktext": names}
    for panel in (1, 2):
        span = [len(names) - 0.4, -0.6]
        figure.update_yaxes(rows, range=span, showgrid=False, row=panel, col=1)
        figure.update_xaxes(range=[-0.03, 1.05], row=panel, col=1)
    return figure


def _name(found: Hybrid, place: int) -> str:
    """Name of an arm, with its coefficient."""
    dose = found.dose[place].item()
    return label(found.arm[place] if dose != dose else f"{found.arm[place]}, c = {dose:g}")
