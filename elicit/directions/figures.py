"""Figure of the reliability of directions."""

from typing import Any

from elicit.directions.values import DirectionSet
from elicit.results.drawing import (
    BLUE,
    FAINT,
    VERMILION,
    bars,
    figure,
    heading,
    interval,
    label,
    plain_numbers,
    style,
)


@figure.register
def set_figure(found: DirectionSet) -> Any:
    """Held-out AUROC and split-half cosine of each site's direction."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=1)
    auroc = (found.auroc.value, found.auroc.low, found.auroc.high)
    for name, ends, color in (
        (f"AUROC on {found.n_held_out} held-out problems", auroc, BLUE),
        (
            "split-half cosine (least, mean, largest)",
            (found.reliability, *found.reliability_range),
            VERMILION,
        ),
    ):
        value, low, high = (each.tolist() for each in ends)
        figure.add_scatter(
            x=[label(site) for site in found.site],
            y=plain_numbers(value),
            error_y=bars(value, low, high, color),
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"size": 6},
            text=[
                f"{label(site)}<br>{interval(*numbers)}"
                for site, *numbers in zip(found.site, value, low, high, strict=True)
            ],
            hovertemplate="%{text}<extra></extra>",
            name=name,
        )
    style(figure, 380).update_layout(margin={"t": 84})
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.add_hline(y=0.5, line={"color": FAINT, "width": 1, "dash": "dot"})
    heading(figure, f"<b>{label(found.how)}</b> on {label(found.model)}", 1)
    return figure
