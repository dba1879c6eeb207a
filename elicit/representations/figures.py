"""Figures of representations: one value per layer, with its interval and controls."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from elicit.representations.mdl import OnlineCode
from elicit.representations.probe_result import ProbeReport
from elicit.representations.similarity import Similarity
from elicit.representations.stitching import Stitching
from elicit.representations.transfer import ProbeTransfer
from elicit.results import Estimate, figure, label, marks
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION

_PANEL, _GAP = 230, 56
_COLORS = {"base": BLUE, "post": VERMILION}
_WAYS = {
    "own": (INK, "solid"),
    "raw": (VERMILION, "solid"),
    "shifted": (BLUE, "dash"),
    "aligned": (BLUE, "solid"),
    "random": (FAINT, "dot"),
}
_MAPS = {
    "identity": (VERMILION, "solid"),
    "shift": (VERMILION, "dash"),
    "orthogonal": (BLUE, "dash"),
    "affine": (BLUE, "solid"),
    "mean": (FAINT, "dash"),
    "random": (FAINT, "dot"),
}


@figure.register
def probe_figure(report: ProbeReport) -> Any:
    """Accuracy and gain of each layer in both models, controls dotted."""
    figure = _panels(report.site, ["Accuracy on held-out problems", "Gain over the baseline"])
    for index, model in enumerate(report.model):
        color = _COLORS[model]
        for row, name in ((1, "accuracy"), (2, "gain")):
            values = getattr(report, name)[index]
            _line(figure, report.site, values, model, color, row=row)
        for name, told, dash in (
            ("control", "labels by type", "dash"),
            ("shuffled", "shuffled labels", "dot"),
        ):
            values = getattr(report, name)[index]
            _line(figure, report.site, values, f"{model}, {told}", color, dash=dash, thin=True)
    best = report.surface_accuracy.value[report.surface.index(report.baseline)].item()
    _level(figure, best, 1)
    _level(figure, 0.0, 2)
    figure.update_yaxes(title={"text": "share right"})
    return figure


@figure.register
def transfer_figure(transferred: ProbeTransfer) -> Any:
    """Accuracy of each readout by layer, one panel per direction of transfer."""
    titles = [f"Probes {name.replace('_', ' ')}" for name in transferred.direction]
    figure = _panels(transferred.site, titles)
    for row in range(len(titles)):
        for index, way in enumerate(transferred.way):
            values = transferred.accuracy[row, index]
            color, dash = _WAYS[way]
            _line(figure, transferred.site, values, way, color, dash=dash, row=row + 1)
        _level(figure, transferred.majority, row + 1)
    figure.update_yaxes(title={"text": "share right"})
    return figure


@figure.register
def code_figure(code: OnlineCode) -> Any:
    """Compression of each layer in both models; 1 is the uniform code."""
    figure = _panels(code.site, ["Compression relative to the uniform code"])
    for index, model in enumerate(code.model):
        for task, dash in zip(code.task, ("solid", "dash", "dot"), strict=True):
            values = code.compression[index, code.task.index(task)]
            name = model if task == "real" else f"{model}, {task}"
            _line(figure, code.site, values, name, _COLORS[model], dash=dash, thin=task != "real")
    _level(figure, 1.0, 1)
    figure.update_yaxes(title={"text": "times shorter"})
    return figure


@figure.register
def similarity_figure(found: Similarity) -> Any:
    """CKA and distances of each layer, with those of randomly paired tokens."""
    figure = _panels(found.site, ["CKA", "Squared distance (share of the variance)"])
    drawn = (
        ("cka", 1, FAINT, "solid"),
        ("cka_debiased", 1, BLUE, "solid"),
        ("distance", 2, VERMILION, "solid"),
        ("distance_centred", 2, VERMILION, "dash"),
        ("procrustes", 2, BLUE, "solid"),
    )
    for name, row, color, dash in drawn:
        index = found.measure.index(name)
        values = found.value[index]
        told = name.replace("_", ", ")
        _line(figure, found.site, values, told, color, dash=dash, row=row)
        if name in ("cka_debiased", "procrustes"):
            null = found.null[:, index].mean(dim=0)
            _line(figure, found.site, null, f"{told}, random pairing", MUTED, dash="dot", row=row)
    return figure


@figure.register
def stitching_figure(stitching: Stitching) -> Any:
    """Unexplained variance and excess cross-entropy of each map by layer."""
    names = [name.replace("_", " ") for name in stitching.direction]
    titles = [f"{what}, {name}" for name in names for what in ("Unexplained variance", "Excess")]
    figure = _panels(stitching.site, titles)
    for way in range(len(names)):
        for offset, field in enumerate(("fvu", "excess")):
            row = 2 * way + offset + 1
            for index, name in enumerate(stitching.map):
                values = getattr(stitching, field)[way, index]
                color, dash = _MAPS[name]
                _line(figure, stitching.site, values, name, color, dash=dash, row=row)
            unit = "share" if field == "fvu" else "nats a token"
            figure.update_yaxes(title={"text": unit}, row=row, col=1)
    return figure


def _panels(site: Sequence[str], titles: Sequence[str]) -> Any:
    """Panels stacked over the same sites."""
    n = len(titles)
    total = _PANEL * n + _GAP * (n - 1)
    figure = marks.panels(n, gaps=(_GAP / total if n > 1 else 0, None), shared="x")
    marks.style(figure, total + 190, top=110, legend="above").update_layout(margin={"b": 80})
    for row, title in enumerate(titles, 1):
        marks.heading(figure, f"<b>{label(title)}</b>", row)
    names = marks.ticks([label(name, 20) for name in site], turned=len(site) > 10)
    figure.update_xaxes(names, automargin=True)
    return figure


def _line(
    figure: Any,
    site: Sequence[str],
    values: Estimate | Float[Tensor, " site"],
    name: str,
    color: str,
    *,
    dash: str = "solid",
    thin: bool = False,
    row: int = 1,
) -> None:
    """One value per site, with its interval if it is an estimate; nothing if all are NaN."""
    sure = isinstance(values, Estimate)
    estimate = (
        values if isinstance(values, Estimate) else Estimate(value=values, low=values, high=values)
    )
    if not estimate.value.isfinite().any():
        return
    error = marks.bars(estimate, color, thickness=1, width=2) | {"visible": sure and not thin}
    trace = marks.points(
        list(range(len(site))),
        estimate,
        color,
        marks.hovers("", site, estimate),
        marker={"size": 4 if thin else 6},
        line=dash,
        error=error,
    )
    trace["line"]["width"] = 1 if thin else 2
    new = name not in {trace.name for trace in figure.data}
    legend = {"name": name, "legendgroup": name, "showlegend": new, "opacity": 0.7 if thin else 1}
    hover = {"hovertemplate": f"%{{text}}<extra>{name}</extra>"}
    figure.add_trace(trace | legend | hover, row=row, col=1)


def _level(figure: Any, y: float, row: int) -> None:
    """Reference line of no information."""
    marks.level(figure, y, INK, dash="dot", row=row)
