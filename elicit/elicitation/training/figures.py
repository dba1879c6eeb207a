"""Figures of training: what was measured at every update, and the update that was chosen."""

from collections.abc import Sequence
from typing import Any

from elicit.elicitation.training.trained import Trained, TrainingCourse
from elicit.results import figure, label, marks
from elicit.results.marks import BLUE, INK, VERMILION

SHOWN = ("reward", "loss", "right", "entropy", "length")
"""What of all measurements is drawn, where it is there."""
CHOOSE = "right on problems to choose on"
"""The last panel."""
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


@figure.register
def trained_figure(found: Trained) -> Any:
    """How a training went."""
    return course_figure(found.course)


@figure.register
def course_figure(found: TrainingCourse) -> Any:
    """How one run of a training went."""
    return courses_figure([found])


def courses_figure(found: Sequence[TrainingCourse]) -> Any:
    """What several runs of one training measured, one panel each, and how right they then are.

    `found`: runs that measured the same; those of one training differ by their seed.
    """
    first = found[0]
    shown = [name for name in SHOWN if name in first.measure] or [*first.measure[:3]]
    panels = [*shown, *([CHOOSE] if any(len(one.choice) for one in found) else [])]
    figure = marks.stack([110] * len(panels), 46, shared="x")
    for run, one in enumerate(found):
        dash = _DASHES[run % len(_DASHES)]
        for row, name in enumerate(panels, start=1):
            choosing = name == CHOOSE
            values = one.chosen.double().mean(1) if choosing else one.of(name)
            at = one.choice.tolist() if choosing else list(range(len(values)))
            figure.add_scatter(
                x=at,
                y=marks.plain_numbers(values),
                mode="lines+markers" if choosing or len(at) == 1 else "lines",
                line={"color": VERMILION if choosing else BLUE, "width": 2, "dash": dash},
                hovertemplate=f"run {run + 1}, update %{{x}}: %{{y:.3g}}<extra></extra>",
                showlegend=False,
                row=row,
                col=1,
            )
        if one.n_updates in one.choice.tolist():
            place = one.choice.tolist().index(one.n_updates)
            figure.add_scatter(
                x=[one.n_updates],
                y=[one.chosen[place].double().mean().item()],
                mode="markers",
                marker={"symbol": "circle-open", "size": 13, "color": INK},
                hovertemplate=f"run {run + 1}: chosen<extra></extra>",
                showlegend=False,
                row=len(panels),
                col=1,
            )
    marks.style(figure, 156 * len(panels) + 60, top=32, legend="none")
    for row, name in enumerate(panels, start=1):
        marks.heading(figure, label(name), row)
    figure.update_xaxes(title={"text": "update"}, row=len(panels), col=1)
    return figure
