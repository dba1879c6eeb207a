"""Picture of a falsification: what a feature's tokens do where nobody reasons."""

from typing import Any

from elicit.features.falsifying import TokenInjection
from elicit.results.drawing import BLUE, FAINT, VERMILION, figure, heading, label, number, style

_COLORS = {"token-driven": VERMILION, "partial": VERMILION, "weak": BLUE, "context-dependent": BLUE}


@figure.register
def injection_figure(found: TokenInjection) -> Any:
    """Cohen's d of each form, a row of points a candidate, its control in grey.

    Args:
        found: Falsification of candidates.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=1)
    names = [
        f"{int(i)}: {label(tokens, 28)}"
        for i, tokens in zip(found.feature, found.tokens, strict=True)
    ]
    for kind, values in (("own tokens", found.d), ("control: drawn tokens", found.control_d)):
        own = kind == "own tokens"
        figure.add_scatter(
            # An infinite d is drawn at the edge and told in full.
            x=[max(min(v, 10.0), -10.0) for line in values.tolist() for v in line],
            y=[name for name in names for _ in found.form],
            mode="markers",
            marker={
                "size": 9 if own else 6,
                "symbol": "circle" if own else "circle-open",
                "color": [_COLORS[v] if own else FAINT for v in found.verdict for _ in found.form],
            },
            text=[
                f"{label(form)}: d {number(values[i, j].item())}"
                + (
                    f"<br>Holm p {number(found.p[i, j].item())}<br>"
                    f"{number(100 * found.transfer[i, j].item(), digits=0)} % of the rise by "
                    "reasoning"
                    if own
                    else ""
                )
                + f"<br>{label(found.verdict[i])}"
                for i in range(len(names))
                for j, form in enumerate(found.form)
            ],
            hovertemplate="%{y}<br>%{text}<extra></extra>",
            name=kind,
            row=1,
            col=1,
        )
    for size in (0.2, 0.5, 0.8):
        figure.add_vline(x=size, line={"color": FAINT, "width": 1, "dash": "dot"})
    style(figure, 140 + 28 * len(names)).update_layout(margin={"t": 84})
    heading(figure, "<b>tokens put into texts without reasoning</b>", 1)
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.update_yaxes(type="category", autorange="reversed", title={"text": "feature: tokens"})
    figure.update_xaxes(title={"text": "Cohen's d, beyond ±10 drawn there"})
    return figure
