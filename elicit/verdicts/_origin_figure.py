"""The picture of a verdict on origin: the share of the gap that each arm closes by what it cost."""

import math
from collections import Counter
from typing import Any

from elicit.elicitation import SEES
from elicit.results import Estimate, figure, interval, label, marks, number
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION
from elicit.verdicts._origin_outcomes import HALF
from elicit.verdicts.origin_result import Origin

_COLORS: dict[str, str] = dict(
    zip(SEES, (BLUE, "#009e73", "#b57d00", VERMILION, "#cc79a7"), strict=True)
)
_NONE = -1.0
"""Where 0 bits stand on the axis of powers of ten."""
_STEP = 0.13
"""Arms of equal bits stand so far apart."""


@figure.register
def origin_figure(found: Origin) -> Any:
    """Share of the gap against bits told, colour by what an arm saw, controls in grey."""
    drawn = marks.blank()
    places, all_at = _places(found)
    # Controls first, so that what is under test is drawn over them.
    groups = [(True, sees) for sees in SEES] + [(False, sees) for sees in SEES]
    named: set[str] = set()
    for control, sees in groups:
        rows = [
            i
            for i in range(len(found.arm))
            if bool(found.control[i]) is control and found.sees[i] == sees
        ]
        if rows:
            _arms(drawn, found, rows, [places[i] for i in rows], control, sees, named)
    _forced(drawn, found)
    for height, color, dash in ((0.0, FAINT, "solid"), (1.0, FAINT, "solid"), (HALF, INK, "dot")):
        marks.level(drawn, height, color, dash=dash)
    if found.best:
        i = found.arm.index(found.best)
        drawn.add_annotation(
            x=places[i], y=float(found.share.value[i]), text=f"<b>{label(found.best, 28)}</b>",
            showarrow=False, xanchor="left", xshift=9, yshift=9, font={"size": 12},
            bgcolor="rgba(255,255,255,0.8)",
        )  # fmt: skip
    marks.style(drawn, 440, top=70, legend="above")
    powers = range(math.ceil(all_at))
    drawn.update_xaxes(
        title={"text": "bits of supervision"},
        tickvals=[_NONE, *powers, all_at],
        ticktext=["0", *(number(10.0**power, digits=0) for power in powers), "all of post"],
        range=[_NONE - 0.4, all_at + 0.6],
    )
    drawn.update_yaxes(title={"text": "share of the gap"})
    return drawn


def _places(found: Origin) -> tuple[list[float], float]:
    """Where each arm stands, and where those do that read post itself."""
    bits = found.bits_told.tolist()
    known = [b for b, s in zip(bits, found.sees, strict=True) if math.isfinite(b) and s != SEES[-1]]
    all_at = max(2.0, math.ceil(math.log10(max([1.0, *known])) + 0.5)) + 0.5
    seen: Counter[float] = Counter()
    places = []
    for value, sees in zip(bits, found.sees, strict=True):
        at = all_at if sees == SEES[-1] or not math.isfinite(value) else _at(value)
        places.append(at + _STEP * seen[round(at, 1)])
        seen[round(at, 1)] += 1
    return places, all_at


def _at(bits: float) -> float:
    """Place of a number of bits: powers of ten from 1 on, between 0 and 1 on a straight line."""
    return math.log10(bits) if bits >= 1 else _NONE + max(bits, 0.0) * -_NONE


def _arms(
    drawn: Any,
    found: Origin,
    rows: list[int],
    places: list[float],
    control: bool,
    sees: str,
    named: set[str],
) -> None:
    """Arms of one kind as marks, filled where the interval of their share excludes 0."""
    color = FAINT if control else _COLORS[sees]
    shares = found.share[rows]
    hover = [
        f"{label(found.arm[i])}{', a control' if control else ''}<br>closes "
        f"{interval(*found.share[i].ends, digits=2)} of the gap<br>sees {label(sees)}, "
        f"{number(float(found.bits_told[i]), digits=0)} bits<br>{label(found.setting[i])}"
        for i in rows
    ]
    marker = marks.hollow(color, shares.clear, 10)
    name = "control" if control else f"sees {sees}"
    trace = marks.points(places, shares, color, hover, marker=marker)
    drawn.add_trace(trace | {"name": name, "legendgroup": name, "showlegend": name not in named})
    named.add(name)


def _forced(drawn: Any, found: Origin) -> None:
    """Base made to begin as post does, at the bits of that beginning."""
    share, bits = found.forced_share, found.text_bits.value[1].item()
    if bool(share.value.isnan()) or math.isnan(bits):
        return
    one = Estimate.stack([share])
    hover = [f"post's first tokens forced<br>closes {interval(*share.ends, digits=2)} of the gap"]
    marker = marks.hollow(MUTED, one.clear, 10) | {"symbol": "diamond"}
    trace = marks.points([_at(bits)], one, MUTED, hover, marker=marker)
    drawn.add_trace(trace | {"name": "post's first tokens forced", "showlegend": True})
