"""Figures of lenses: how close they come to the final prediction, and how far they drift."""

from collections.abc import Sequence
from typing import Any

from elicit.results import Estimate
from elicit.results.drawing import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    VERMILION,
    figure,
    heading,
    interval,
    label,
    plain_numbers,
    style,
)
from elicit.revision.drift import LensDrift
from elicit.revision.figures.marks import ends_of, error_bars
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
    """Divergence of each kind of lens over layers, on held-out problems, with joint intervals.

    Args:
        fit: Divergences of every kind and layer.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=1)
    for i, kind in enumerate(fit.kind):
        _line(
            figure, fit.layer.tolist(), fit.kl[i], _KINDS[kind], place=i - (len(fit.kind) - 1) / 2
        )
    title = f"<b>{label(fit.lens.model)}</b>, read by the head of {label(fit.lens.head)}"
    heading(figure, f"{title}: {fit.n_problems} held-out problems", 1)
    return _finish(figure, "KL(final‖lens), nats", n_layers=len(fit.layer))


@figure.register
def drift_figure(drift: LensDrift) -> Any:
    """Divergence of post's layers by reader, over layers, with joint intervals.

    The drift of a kind is the gap between its two lines.

    Args:
        drift: Divergences of every reading.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=1)
    post = drift.states.index("post")
    for i, ((kind, reader), look) in enumerate(_READINGS.items()):
        at = drift.kind.index(kind), post, drift.reader.index(reader)
        kl = drift.kl[at]
        if not bool(kl.value.isnan().any()):
            _line(figure, drift.layer.tolist(), kl, look, place=i - 1.5)
    heading(figure, f"<b>post's layers</b>, {drift.n_problems} problems", 1)
    return _finish(figure, "KL(post's final‖lens), nats", n_layers=len(drift.layer))


def _line(
    figure: Any,
    layers: Sequence[int],
    estimate: Estimate,
    look: tuple[str, str, str],
    *,
    place: float,
) -> None:
    """One line with its intervals, beside the others and not on them."""
    name, color, dash = look
    figure.add_scatter(
        x=[layer + 0.06 * place for layer in layers],
        y=plain_numbers(estimate.value.tolist()),
        error_y=error_bars(estimate, color),
        mode="lines+markers",
        line={"color": color, "width": 2, "dash": dash},
        marker={"size": 6},
        text=[
            f"{name}<br>layer {layer}: {interval(*three)} nats"
            for layer, three in zip(layers, ends_of(estimate), strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
        name=name,
    )


def _finish(figure: Any, unit: str, *, n_layers: int) -> Any:
    """Axes and the common look."""
    style(figure, 380).update_layout(margin={"t": 84}, font={"color": INK})
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.add_hline(y=0, line={"color": FAINT, "width": 1})
    figure.update_yaxes(title={"text": unit}, rangemode="tozero")
    figure.update_xaxes(title={"text": "blocks run"}, dtick=1 if n_layers <= 24 else None)
    return figure
