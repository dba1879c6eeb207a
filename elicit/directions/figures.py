"""Pictures of directions: how far each can be trusted, and what adding it does."""

from typing import Any

from elicit.directions.dose_result import DoseCurve
from elicit.directions.values import DirectionSet
from elicit.results.drawing import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    VERMILION,
    heading,
    interval,
    label,
    plain_numbers,
    style,
)


def set_figure(found: DirectionSet) -> Any:
    """Held-out AUROC and split-half cosine of each site's direction.

    Args:
        found: Directions of several sites.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=1)
    for name, field, color in (
        (f"AUROC on {found.n_held_out} held-out problems", "auroc", BLUE),
        ("split-half cosine (least, mean, largest)", "reliability", VERMILION),
    ):
        value, low, high = (
            getattr(found, f"{field}{end}").tolist() for end in ("", "_low", "_high")
        )
        figure.add_scatter(
            x=[label(site) for site in found.site],
            y=plain_numbers(value),
            error_y=bars(value, low, high, color),
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"size": 6},
            text=[
                f"{label(site)}<br>{interval(*ends)}"
                for site, *ends in zip(found.site, value, low, high, strict=True)
            ],
            hovertemplate="%{text}<extra></extra>",
            name=name,
        )
    style(figure, 380).update_layout(margin={"t": 84})
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.add_hline(y=0.5, line={"color": FAINT, "width": 1, "dash": "dot"})
    heading(figure, f"<b>{label(found.how)}</b> on {label(found.model)}", 1)
    return figure


def dose_figure(found: DoseCurve, metric: str | None = None) -> Any:
    """Rate and coherence over strengths: the direction in colour, its controls in grey.

    Args:
        found: Rates of every curve.
        metric: Name of a metric; None takes the first.

    Raises:
        DirectionError: The metric was not measured.
    """
    from plotly.subplots import make_subplots

    row = found.metric_row(metric)
    figure = make_subplots(rows=2, cols=1, row_heights=[0.6, 0.4], vertical_spacing=0.16)
    # Controls first, so that the direction is drawn over them.
    for curve in [*range(1, len(found.curve)), 0]:
        rates = [getattr(found, f"rate{end}")[row, curve].tolist() for end in ("", "_low", "_high")]
        logs = [getattr(found, f"log_prob{end}")[curve].tolist() for end in ("", "_low", "_high")]
        _dose_line(figure, found, curve, rates, panel=1)
        _dose_line(figure, found, curve, logs, panel=2)
    marks = (found.unsteered[row], MUTED, "unsteered"), (found.goal[row], INK, "target")
    for rate, color, name in marks:
        if rate == rate:
            line = {"color": color, "width": 1, "dash": "dot"}
            told = {"text": f"{name} {rate:.2f}", "font": {"color": color, "size": 11}}
            figure.add_hline(y=rate.item(), line=line, annotation=told, row=1, col=1)  # pyright: ignore[reportArgumentType]
    line = {"color": MUTED, "width": 1, "dash": "dot"}
    figure.add_hline(y=found.unsteered_log_prob, line=line, row=2, col=1)  # pyright: ignore[reportArgumentType]
    style(figure, 500).update_layout(margin={"t": 84})
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    what = f"<b>{label(found.metric[row])}</b> of {label(found.model)}, {found.n_problems} problems"
    heading(figure, f"{what}, vector added at {label(found.site)}, {label(found.where)}", 1)
    heading(figure, "steered text under the unsteered model", 2)
    figure.update_yaxes(title={"text": "rate"}, range=[-0.03, 1.05], row=1, col=1)
    figure.update_yaxes(title={"text": "log-prob a token, nats"}, row=2, col=1)
    figure.update_xaxes(title={"text": "strength"}, row=2, col=1)
    return figure


def _dose_line(
    figure: Any, found: DoseCurve, curve: int, ends: list[list[float]], *, panel: int
) -> None:
    """One curve with its intervals in one panel."""
    order = found.strength.argsort().tolist()
    value, low, high = ([one[place] for place in order] for one in ends)
    color, name = (BLUE, "direction") if curve == 0 else (FAINT, "controls of equal norm")
    figure.add_scatter(
        x=[found.strength[place].item() for place in order],
        y=plain_numbers(value),
        error_y=bars(value, low, high, color),
        mode="lines+markers",
        line={"color": color, "width": 2 if curve == 0 else 1},
        marker={"size": 6 if curve == 0 else 4},
        text=[
            f"{label(found.curve[curve])}<br>strength {found.strength[place]:g}: {interval(*three)}"
            for place, *three in zip(order, value, low, high, strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
        name=name,
        legendgroup=name,
        showlegend=panel == 1 and curve <= 1,
        row=panel,
        col=1,
    )


def bars(value: list[float], low: list[float], high: list[float], color: str) -> dict[str, Any]:
    """Error bars from the ends of intervals.

    Args:
        value: Estimates.
        low: Lower ends.
        high: Upper ends.
        color: Of the bars.
    """
    return {
        "type": "data",
        "symmetric": False,
        "array": plain_numbers([b - v for b, v in zip(high, value, strict=True)]),
        "arrayminus": plain_numbers([v - a for v, a in zip(value, low, strict=True)]),
        "color": color,
        "thickness": 1.5,
        "width": 3,
    }
