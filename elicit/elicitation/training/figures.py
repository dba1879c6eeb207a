"""Figures of training: what was measured at every update, and the update that was chosen."""

from typing import Any

from elicit.elicitation.training.trained import Trained, TrainingCourse
from elicit.results import figure, label, marks
from elicit.results.marks import BLUE, MUTED, VERMILION


@figure.register
def trained_figure(found: Trained) -> Any:
    """How a training went."""
    return course_figure(found.course)


@figure.register
def course_figure(found: TrainingCourse) -> Any:
    """Everything measured over the updates, one panel each, and accuracy on the choosing part."""
    names = [name for i, name in enumerate(found.measure) if bool(found.curve[i].isfinite().any())]
    shown = [*names, *(["right on problems to choose on"] if len(found.choice) else [])]
    figure = marks.stack([120] * len(shown), 46, shared="x")
    for row, name in enumerate(shown, start=1):
        chosen = name not in names
        if chosen:
            values, at = found.chosen.double().mean(1).tolist(), found.choice.tolist()
        else:
            values = found.curve[found.measure.index(name)].tolist()
            at = list(range(len(values)))
        figure.add_scatter(
            x=at,
            y=marks.plain_numbers(values),
            mode="lines+markers" if chosen else "lines",
            line={"color": VERMILION if chosen else BLUE, "width": 2},
            hovertemplate="update %{x}: %{y:.3g}<extra></extra>",
            showlegend=False,
            row=row,
            col=1,
        )
    marks.level(figure, found.n_updates, MUTED, dash="dash", upright=True)
    marks.style(figure, 166 * len(shown) + 60, top=32, legend="none")
    for row, name in enumerate(shown, start=1):
        marks.heading(figure, label(name), row)
    figure.update_xaxes(title={"text": "update"}, row=len(shown), col=1)
    return figure
