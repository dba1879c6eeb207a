"""Figure of SAE transfer: loss on the other model, and recovery by mapping."""

from typing import Any

from elicit.features.transfer import Transfer
from elicit.results.drawing import (
    BLUE,
    MUTED,
    VERMILION,
    figure,
    heading,
    label,
    number,
    plain_numbers,
    style,
)


@figure.register
def transfer_figure(result: Transfer) -> Any:
    """FVU and cross-entropy recovered as bars, correlations of features as violins."""
    from plotly.subplots import make_subplots

    names = [label(name) for name in result.reading]
    figure = make_subplots(rows=1, cols=3, horizontal_spacing=0.1)
    for col, (name, color) in enumerate((("fvu", VERMILION), ("ce_recovered", BLUE)), start=1):
        estimate = getattr(result, name)
        values, low, high = estimate.value, estimate.low, estimate.high
        figure.add_bar(
            x=names,
            y=[None if v != v else v for v in values.tolist()],
            marker={"color": color},
            text=[number(value) for value in values.tolist()],
            textposition="inside",
            insidetextanchor="middle",
            error_y={
                "type": "data",
                "symmetric": False,
                "array": plain_numbers((high - values).tolist()),
                "arrayminus": plain_numbers((values - low).tolist()),
                "thickness": 1.5,
                "width": 4,
            },
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
    style(figure, 440).update_layout(showlegend=False, margin={"t": 64, "b": 68})
    # One word per line, because the labels are close together.
    figure.update_xaxes(
        tickvals=names, ticktext=[name.replace(" ", "<br>") for name in names], tickangle=0
    )
    heading(figure, "<b>FVU</b>", 1, 1)
    heading(figure, "<b>cross-entropy recovered</b>", 1, 2)
    heading(figure, "<b>correlation with the SAE’s own model</b>", 1, 3)
    return figure
