"""Figure of token injection: effect of a feature's top tokens in texts without reasoning."""

from typing import Any

from elicit.features.token_injection import TokenInjection
from elicit.results import figure, label, marks, number
from elicit.results.marks import BLUE, FAINT, VERMILION

_COLORS = {"token-driven": VERMILION, "partial": VERMILION, "weak": BLUE, "context-dependent": BLUE}


@figure.register
def injection_figure(result: TokenInjection) -> Any:
    """Cohen's d of each form, one row per candidate, its control in grey."""
    figure = marks.panels()
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
        marks.level(figure, size, dash="dot", upright=True)
    marks.style(figure, 140 + 28 * len(names), top=84, legend="above")
    marks.heading(figure, "<b>tokens injected into texts without reasoning</b>", 1)
    figure.update_yaxes(type="category", autorange="reversed", title={"text": "feature: tokens"})
    figure.update_xaxes(title={"text": "Cohen's d, beyond ±10 drawn there"})
    return figure
