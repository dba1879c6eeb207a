"""The three answers as cards, each with its number beside that of its strongest control."""

import math
from collections.abc import Mapping
from pathlib import Path

from elicit.page import Fragment
from elicit.results import Estimate, number
from elicit.verdicts import Audit

_WIDTH, _PAD = 240.0, 8.0
_RUNS = {
    "existence": ("exists", "mechanisms"),
    "layers": ("report", "patch", "patch-facts", "revise"),
    "trace": ("trace",),
}
"""Runs whose pages tell more of each answer."""
STRENGTHS = {
    "strong": "strong evidence",
    "moderate": "moderate evidence",
    "weak": "weak evidence",
    "none": "nothing found",
    "not asked": "not answered",
}
"""Strength of evidence in words."""


def answer_cards(found: Audit) -> Fragment:
    """The three cards.

    Args:
        found: The audit.
    """
    cards = [_card(found, i) for i in range(len(found.question))]
    return Fragment(
        Path(__file__).parent / "cards.html", {"cards": cards, "level": f"{100 * found.level:g}"}
    )


def _card(found: Audit, i: int) -> Mapping[str, object]:
    strength = found.strength[i]
    finished = {
        name for name, how in zip(found.run, found.run_status, strict=True) if how == "finished"
    }
    seen = found.detectable[i].item()
    return {
        "number": i + 1,
        "asked": found.asked[i],
        "verdict": found.verdict[i],
        "says": found.says[i],
        "strength": STRENGTHS.get(strength, strength),
        "mark": strength.replace(" ", "-"),
        "rests": found.rests_on[i],
        "bars": _bars(found, i),
        "seen": "" if math.isnan(seen) else number(seen, digits=2),
        "seen_of": found.detectable_of[i],
        "runs": [name for name in _RUNS[found.question[i]] if name in finished],
        "unit": found.unit[i],
    }


def _bars(found: Audit, i: int) -> Mapping[str, object] | None:
    """The effect and its control on one axis; None where there is no number."""
    effect, control = found.effect[i], found.control[i]
    if math.isnan(effect.value.item()):
        return None
    border = found.border[i].item()
    rows = [("effect", found.effect_name[i], effect)]
    if found.control_name[i]:
        rows.append(("control", f"control: {found.control_name[i]}", control))
    ends = [0.0, border, *(end for _, _, each in rows for end in each.ends if math.isfinite(end))]
    least, most = min(ends), max(ends)
    span = (most - least) or 1.0

    def place(value: float) -> float:
        return round(_PAD + (_WIDTH - 2 * _PAD) * (value - least) / span, 1)

    return {
        "width": _WIDTH,
        "zero": place(0.0),
        "border": None if border == 0 else place(border),
        "border_told": number(border, digits=2),
        "rows": [
            {
                "kind": kind,
                "name": name,
                "told": _told(each),
                "at": place(each.value.item()) if math.isfinite(each.value.item()) else None,
                "low": place(max(least, each.low.item())) if _known(each) else None,
                "high": place(min(most, each.high.item())) if _known(each) else None,
            }
            for kind, name, each in rows
        ],
    }


def _known(estimate: Estimate) -> bool:
    return all(math.isfinite(end) for end in estimate.ends)


def _told(estimate: Estimate) -> str:
    value, low, high = estimate.ends
    if math.isnan(value):
        return "not measured"
    told = number(value, digits=2)
    if math.isnan(low) or math.isnan(high):
        return told
    return f"{told} [{number(low, digits=2)}, {number(high, digits=2)}]"
