"""Picture of crossed texts: how right a writer is with a few tokens of the other model."""

import math
from typing import Any

from elicit.results import Estimate, figure, label, marks, number
from elicit.results.marks import FAINT, INK, MODELS, MUTED
from elicit.traces.cross import Crossing
from elicit.traces.figures._rows import across, write

_KINDS = {
    "jsd": "where the models differ",
    "random": "at random places",
    "entropy": "where the writer is unsure",
}
_COLORS = {name: (color, symbol) for name, color, symbol in MODELS}


@figure.register
def crossing_figure(found: Crossing) -> Any:
    """Accuracy of the writer alone, with tokens of the other by rule and budget, and of the other.

    Random places, the control, are grey.
    """
    figure = marks.blank()
    names = [f"{found.host} alone"]
    rows: list[tuple[Estimate, str, str]] = [(found.alone[0], *_COLORS[found.host])]
    for i, rule in enumerate(found.rule):
        for j, budget in enumerate(found.budget.tolist()):
            used = number(found.used.value[i, j].item(), digits=2)
            names.append(f"{rule_text(rule)}: ≤ {number(budget, digits=0)}, used {used}")
            color = MUTED if rule.startswith("random") else INK
            rows.append((found.accuracy[i, j], color, "square"))
    names.append(f"{found.donor} alone")
    rows.append((found.alone[1], *_COLORS[found.donor]))
    for place, (name, (value, color, symbol)) in enumerate(zip(names, rows, strict=True)):
        one = value.map(lambda x: x.reshape(1))
        look = {"size": 9, "color": color, "symbol": symbol}
        hover = marks.hovers("", [name], one)
        trace = marks.points([place + 0.7], one, color, hover, marker=look, across=True)
        figure.add_trace(trace | {"showlegend": False})
        write(figure, place + 0.3, label(name, 120), 12)
    across(figure, len(names) + 0.15, "right answers", (-0.03, 1.03))
    figure.update_layout(margin={"t": 12}, height=figure.layout.height - 28)
    for edge in found.alone.value.tolist():
        marks.level(figure, edge, FAINT, dash="dot", upright=True)
    return figure


def rule_text(rule: str) -> str:
    """A rule as figures and sentences call it.

    Args:
        rule: Name of a rule, as `Crossing.rule` has it.
    """
    kind, _, rest = rule.partition(" ")
    words = _KINDS.get(kind.rstrip(","), kind)
    return words if kind.startswith("random") and not rest else f"{words} ({rule})"


def most(budget: float) -> str:
    """A budget in words.

    Args:
        budget: Most tokens a text.
    """
    if math.isinf(budget):
        return "any number of tokens"
    return f"at most {budget:.0f} token{'s' * (budget != 1)}"
