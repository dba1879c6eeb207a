"""Figures of lenses: how close they come to the final prediction, and how far they drift."""

from typing import Any

from elicit.results import Estimate, figure, label, marks
from elicit.results.marks import BLUE, MUTED, VERMILION
from elicit.revision.drift import LensDrift
from elicit.revision.figures.lines import after
from elicit.revision.tuned import TunedLensFit

_KINDS = {
    "identity": ("logit lens", MUTED, "dash"),
    "bias": ("bias alone", VERMILION, "solid"),
    "affine": ("affine", BLUE, "solid"),
}
"""Name, colour and dash of each kind of lens."""
_READINGS = {
    ("logit", "post"): ("logit lens, post's head", MUTED, "solid"),
    ("logit", "base"): ("logit lens, base's head", MUTED, "dash"),
    ("tuned", "post"): ("post's lens", BLUE, "solid"),
    ("tuned", "base"): ("base's lens", VERMILION, "solid"),
}
"""The same of each way to read post's layers, by kind and reader."""


@figure.register
def fit_figure(fit: TunedLensFit) -> Any:
    """Divergence of each kind of lens over layers, on held-out problems, with joint intervals."""
    figure = marks.panels()
    for i, kind in enumerate(fit.kind):
        shift = 0.06 * (i - (len(fit.kind) - 1) / 2)
        figure.add_trace(_line(fit.layer.tolist(), fit.kl[i], _KINDS[kind], shift))
    title = f"<b>{label(fit.lens.model)}</b>, read by the head of {label(fit.lens.head)}"
    marks.heading(figure, f"{title}: {fit.n_problems} held-out problems", 1)
    return _finish(figure, "KL(final‖lens), nats", n_layers=len(fit.layer))


@figure.register
def drift_figure(drift: LensDrift) -> Any:
    """Divergence of post's layers by reader, over layers, with joint intervals.

    The drift of a kind is the gap between its two lines.
    """
    figure = marks.panels()
    post = drift.states.index("post")
    for i, ((kind, reader), look) in enumerate(_READINGS.items()):
        at = drift.kind.index(kind), post, drift.reader.index(reader)
        kl = drift.kl[at]
        if not bool(kl.value.isnan().any()):
            figure.add_trace(_line(drift.layer.tolist(), kl, look, 0.06 * (i - 1.5)))
    marks.heading(figure, f"<b>post's layers</b>, {drift.n_problems} problems", 1)
    return _finish(figure, "KL(post's final‖lens), nats", n_layers=len(drift.layer))


def _line(
    layers: list[int], estimate: Estimate, look: tuple[str, str, str], shift: float
) -> dict[str, Any]:
    """One line with its intervals, beside the others and not on them."""
    name, color, dash = look
    hover = marks.hovers(f"{name}<br>", [after(n) for n in layers], estimate, "nats")
    places = [layer + shift for layer in layers]
    trace = marks.points(places, estimate, color, hover, marker={"size": 6}, line=dash)
    return trace | {"name": name}


def _finish(figure: Any, unit: str, *, n_layers: int) -> Any:
    """Axes and the common look."""
    marks.style(figure, 380, top=84, legend="above")
    marks.level(figure, 0)
    figure.update_yaxes(title={"text": unit}, rangemode="tozero")
    figure.update_xaxes(
        title={"text": "layers run (0: embedding)"}, dtick=1 if n_layers <= 24 else None
    )
    return figure
