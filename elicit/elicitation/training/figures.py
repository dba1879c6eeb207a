"""Figures of training: reward, entropy, length and loss by update, with the update chosen."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.training.trained import Trained, TrainingCourse
from elicit.results import figure, label, marks, number
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION

_PANELS = (
    ("share", ("reward", "right", "with gradient")),
    ("nats a token", ("entropy", "loss")),
    ("tokens a text", ("length",)),
)
"""Axis titles, and the measurements that share each axis."""
_COLORS = {"reward": BLUE, "right": VERMILION, "with gradient": FAINT}
_WORDS = {
    "reward": "mean reward",
    "right": "right, sampled",
    "with gradient": "problems with gradient",
    "entropy": "entropy",
    "loss": "loss",
    "length": "length",
}


@figure.register
def trained_figure(trained: Trained) -> Any:
    """How the training went."""
    return course_figure(trained.course)


@figure.register
def course_figure(course: TrainingCourse) -> Any:
    """What was measured at every update; diamonds are the problems to choose on."""
    panels = [
        (title, [name for name in names if name in course.measure])
        for title, names in _PANELS
        if set(names) & set(course.measure)
    ]
    figure = marks.panels(len(panels), shared="x")
    for row, (title, names) in enumerate(panels, 1):
        for name in names:
            _line(figure, name, course.of(name), row)
        limits = {"range": [-0.03, 1.05]} if title == "share" else {"rangemode": "tozero"}
        figure.update_yaxes({"title": {"text": title}, **limits}, row=row, col=1)
        # The parameters that were chosen are those before the next update.
        figure.add_vline(
            x=course.n_updates + 0.5,
            line={"color": MUTED, "width": 1, "dash": "dot"},
            row=row,
            col=1,
        )
    _chosen(figure, course)
    marks.style(figure, 150 * len(panels) + 110, top=88, legend="above")
    what = f"<b>{label(course.method)}</b>, {course.trainable}"
    bits = number(course.bits, digits=0)
    told = f"{course.n_updates} of {course.curve.shape[1]} updates, {bits} bits"
    marks.heading(figure, f"{what}: {told}, ended by {label(course.stopped)}", 1)
    figure.update_xaxes(title={"text": "update"}, row=len(panels), col=1)
    return figure


def _line(figure: Any, name: str, values: Float[Tensor, " step"], row: int) -> None:
    """One measurement of all updates."""
    steps = list(range(1, len(values) + 1))
    words = [f"update {n}, {_WORDS[name]} {number(values[n - 1].item())}" for n in steps]
    figure.add_scatter(
        x=steps,
        y=marks.plain_numbers(values),
        mode="lines+markers",
        marker={"size": 4},
        line={"color": _COLORS.get(name, INK), "width": 2},
        text=words,
        hovertemplate="%{text}<extra></extra>",
        name=_WORDS[name],
        row=row,
        col=1,
    )


def _chosen(figure: Any, course: TrainingCourse) -> None:
    """Share right, greedily, of the problems to choose on."""
    if not len(course.choice):
        return
    shares = course.chosen.to(torch.float64).mean(1)
    after = course.choice.tolist()
    words = [
        f"after {n} updates {number(share)} of the problems to choose on"
        for n, share in zip(after, shares.tolist(), strict=True)
    ]
    figure.add_scatter(
        x=[n + 0.5 for n in after],
        y=marks.plain_numbers(shares),
        mode="markers",
        marker={"color": INK, "symbol": "diamond", "size": 9},
        text=words,
        hovertemplate="%{text}<extra></extra>",
        name="right, greedy, to choose on",
        row=1,
        col=1,
    )
