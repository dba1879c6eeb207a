"""Figure of the reliability of directions."""

from typing import Any

from elicit.directions.values import DirectionSet
from elicit.results import Estimate, figure, interval, label, marks
from elicit.results.marks import BLUE, VERMILION


@figure.register
def set_figure(found: DirectionSet) -> Any:
    """Held-out AUROC and split-half cosine of each site's direction."""
    figure = marks.panels()
    low, high = found.reliability_range
    cosine = Estimate(value=found.reliability, low=low, high=high)
    for name, estimate, color in (
        (f"AUROC on {found.n_held_out} held-out problems", found.auroc, BLUE),
        ("split-half cosine (least, mean, largest)", cosine, VERMILION),
    ):
        ends = zip(found.site, marks.ends_of(estimate), strict=True)
        hover = [f"{label(site)}<br>{interval(*three)}" for site, three in ends]
        sites = [label(site) for site in found.site]
        trace = marks.points(sites, estimate, color, hover, marker={"size": 6}, line="solid")
        figure.add_trace(trace | {"name": name})
    marks.style(figure, 380, top=84, legend="above")
    marks.level(figure, 0.5, dash="dot")
    marks.heading(figure, f"<b>{label(found.how)}</b> on {label(found.model)}")
    return figure
