"""Figure of token injection: effect of a feature's top tokens in texts without reasoning."""

from typing import Any

from elicit.features.token_injection import TokenInjection
from elicit.results.drawing import BLUE, FAINT, VERMILION, figure, heading, label, number, style

_COLORS = {"token-driven": VERMILION, "partial": VERMILION, "weak": BLUE, "context-dependent": BLUE}


@figure.register
def injection_figure(result: TokenInjection) -> Any:
    """Cohen's d of each form, one row per candidate, its control in grey."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=1)
    names = [
        f"{int(i)}: {label(tokens, 28)}"
        for i, tokens in zip(result.feature, result.tokens, strict=True)
    ]
    for kind, values in (("top tokens", result.d), ("control: drawn tokens", result.control_d)):
        is_own = kind == "top tokens"
        figure.add_scatter(
            # An infinite d is drawn at the edge; its label has the value.
            x=[max(min(v, 10.0), -10.0) for line in values.tolist() for v in line],
            y=[name for name in names for _ in result.form],
            mode="markers",
            marker={
                "size": 9 if is_own else 6,
                "symbol": "circle" if is_own else "circle-open",
                "color": [
                    _COLORS[v] if is_own else FAINT for v in result.verdict for _ in result.form
                ],
            },
            text=[
                f"{label(form)}: d {number(values[i, j].item())}"
                + (
                    f"<br>Holm p {number(result.p[i, j].item())}<br>"
                    f"{number(100 * result.transfer[i, j].item(), digits=0)} % of the rise by "
                    "reasoning"
                    if is_own
                    else ""
                )
                + f"<br>{label(result.verdict[i])}"
                for i in range(len(names))
                for j, form in enumerate(result.form)
            ],
            hovertemplate="%{y}<br>%{text}<extra></extra>",
            name=kind,
            row=1,
            col=1,
        )
    for size in (0.2, 0.5, 0.8):
        figure.add_vline(x=size, line={"color": FAINT, "width": 1, "dash": "dot"})
    style(figure, 140 + 28 * len(names)).update_layout(margin={"t": 84})
    heading(figure, "<b>tokens injected into texts without reasoning</b>", 1)
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.update_yaxes(type="category", autorange="reversed", title={"text": "feature: tokens"})
    figure.update_xaxes(title={"text": "Cohen's d, beyond ±10 drawn there"})
    return figure
