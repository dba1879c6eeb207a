"""Figures of the selection and held-out evaluation of candidates."""

from collections.abc import Sequence
from typing import Any

from elicit.features.candidates import HeldOut
from elicit.features.contrast import ContrastScores
from elicit.features.reason_score import ReasonScores
from elicit.results import figure, label, marks, number
from elicit.results.marks import BLUE, FAINT, MUTED, VERMILION

_SHOWN = 20
"""Features shown."""


@figure.register
def reason_figure(result: ReasonScores, n: int = _SHOWN) -> Any:
    """The features with the largest ReasonScore, and their mean activation near each word."""
    best = result.top(n)
    names = [str(feature) for feature in best]
    figure = marks.panels(cols=2, widths=[0.4, 0.6], gaps=(None, 0.12))
    figure.add_bar(
        x=[result.score[i].item() for i in best],
        y=names,
        orientation="h",
        marker={"color": BLUE},
        text=[
            f"feature {i}<br>score {number(result.score[i].item())}<br>"
            f"entropy {number(result.entropy[i].item())}<br>"
            f"near words {number(result.inside[i].item())}, "
            f"elsewhere {number(result.outside[i].item())}"
            for i in best
        ],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
        row=1,
        col=1,
    )
    mean = result.mean[list(best)]
    # Each feature on its own scale: the entropy is about how it spreads.
    share = mean / mean.amax(1, keepdim=True).clamp(min=1e-12)
    hover = [[number(value) for value in line] for line in mean.tolist()]
    trace = marks.heat(share.tolist(), None, hover) | {
        "x": [label(name, 16) for name in result.group],
        "y": names,
        "hovertemplate": "feature %{y}, near %{x}<br>mean %{customdata}<extra></extra>",
        "colorscale": [[0, "#f7f7f7"], [1, "#2b5c9e"]],
        "zmin": 0,
        "zmax": 1,
        "colorbar": {"title": {"text": "of its largest"}, "thickness": 12, "len": 0.9},
    }
    figure.add_trace(trace, row=1, col=2)
    marks.style(figure, 140 + 20 * len(best), top=64, legend="none")
    marks.heading(figure, "<b>ReasonScore</b>", 1, 1)
    marks.heading(figure, "<b>mean activation near each word</b>", 1, 2)
    for col in (1, 2):
        figure.update_yaxes(autorange="reversed", type="category", ticks="", row=1, col=col)
    figure.update_xaxes(ticks="", row=1, col=2)
    figure.update_yaxes(title={"text": "feature"}, row=1, col=1)
    return figure


@figure.register
def contrast_figure(result: ContrastScores, n: int = 8) -> Any:
    """AUROC of every feature over its difference of means, significant ones in colour."""
    figure = marks.panels()
    clear = (result.p_holm <= 0.01).tolist()
    named = set(result.top(n))
    figure.add_scatter(
        x=result.difference.tolist(),
        y=result.auroc.tolist(),
        mode="markers+text",
        text=[str(i) if i in named and clear[i] else "" for i in range(len(clear))],
        textposition="top center",
        marker={"size": 6, "color": [VERMILION if yes else FAINT for yes in clear]},
        customdata=[
            f"feature {i}<br>AUROC {number(result.auroc[i].item())}<br>"
            f"d {number(result.d[i].item())}<br>Holm p {number(result.p_holm[i].item())}"
            for i in range(len(clear))
        ],
        hovertemplate="%{customdata}<extra></extra>",
        row=1,
        col=1,
    )
    marks.level(figure, 0.5, MUTED, dash="dot")
    marks.style(figure, 420, legend="none")
    title = f"<b>{label(result.site)}</b> of {label(result.model)}: Holm p ≤ 0.01 in colour"
    marks.heading(figure, title)
    figure.update_xaxes(title={"text": "difference of mean activations"})
    figure.update_yaxes(title={"text": "AUROC"}, range=[-0.03, 1.06])
    return figure


@figure.register
def held_out_figure(result: HeldOut, order: Sequence[int] | None = None) -> Any:
    """AUROC of each candidate on held-out problems, and the mean of rate-matched features.

    Args:
        result: The candidates.
        order: Features from above down; None: as in the result. Others follow below.
    """
    figure = marks.panels()
    names = [str(int(i)) for i in result.feature]
    for kind, values, color, symbol in (
        ("candidate", result.auroc, BLUE, "circle"),
        ("control: rate-matched features", result.control_auroc, FAINT, "circle-open"),
    ):
        is_candidate = kind == "candidate"
        figure.add_scatter(
            x=marks.plain_numbers(values),
            y=names,
            mode="markers",
            marker={
                "size": 10 if is_candidate else 7,
                "symbol": symbol,
                "color": [
                    color if not is_candidate or result.holds(int(i)) else MUTED
                    for i in result.feature
                ],
            },
            text=[
                f"feature {names[i]}<br>{kind}: AUROC {number(values[i].item())}"
                + (f"<br>Holm p {number(result.p[i].item())}" if is_candidate else "")
                for i in range(len(names))
            ],
            hovertemplate="%{text}<extra></extra>",
            name=kind,
            row=1,
            col=1,
        )
    marks.level(figure, 0.5, dash="dot", upright=True)
    marks.style(figure, 140 + 26 * len(names), top=84, legend="above")
    marks.heading(figure, "<b>reasoning against direct-answer prompts</b>")
    listed = list(dict.fromkeys([*map(str, order or ()), *names]))
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[name for name in listed if name in names],
        autorange="reversed",
        title={"text": "feature"},
    )
    figure.update_xaxes(title={"text": "AUROC"}, range=[-0.03, 1.03])
    return figure
