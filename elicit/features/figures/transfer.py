"""Figure of SAE transfer: loss on the other model, and recovery by mapping."""

from typing import Any

from elicit.features.transfer import Transfer
from elicit.results import figure, label, marks, number
from elicit.results.marks import BLUE, MUTED, VERMILION


@figure.register
def transfer_figure(result: Transfer) -> Any:
    """FVU and cross-entropy recovered as bars, correlations of features as violins."""
    names = [label(name) for name in result.reading]
    figure = marks.panels(cols=3, gaps=(None, 0.1))
    for col, (name, color) in enumerate((("fvu", VERMILION), ("ce_recovered", BLUE)), start=1):
        estimate = getattr(result, name)
        figure.add_bar(
            x=names,
            y=marks.plain_numbers(estimate.value),
            marker={"color": color},
            text=[number(value) for value in estimate.value.tolist()],
            textposition="inside",
            insidetextanchor="middle",
            error_y=marks.bars(estimate, "", width=4) | {"color": None},
            cliponaxis=False,
            hovertemplate="%{x}: %{y:.4g}<extra></extra>",
            row=1,
            col=col,
        )
    for i, name in enumerate(names[1:], 1):
        values = result.correlation[:, i]
        figure.add_violin(
            y=values[values.isfinite()].tolist(),
            name=name,
            line={"color": MUTED},
            box={"visible": True},
            points=False,
            spanmode="hard",
            row=1,
            col=3,
        )
    marks.style(figure, 440, top=64, legend="none").update_layout(margin={"b": 68})
    # One word per line, because the labels are close together.
    figure.update_xaxes(
        tickvals=names, ticktext=[name.replace(" ", "<br>") for name in names], tickangle=0
    )
    marks.heading(figure, "<b>FVU</b>", 1, 1)
    marks.heading(figure, "<b>cross-entropy recovered</b>", 1, 2)
    marks.heading(figure, "<b>correlation with the SAE’s own model</b>", 1, 3)
    return figure
