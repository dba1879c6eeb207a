"""Legends of the weight-grafting figures."""

from elicit.grafting import Verdict
from elicit.page import Key
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION


def _shape(body: str) -> str:
    return f'<svg width="22" height="14" viewBox="0 0 22 14" aria-hidden="true">{body}</svg>'


_BAR = '<line x1="11" y1="0" x2="11" y2="14" stroke="{0}" stroke-width="1.8"/>'
_DISC = '<circle cx="11" cy="7" r="{1}" fill="{2}" stroke="{0}" stroke-width="1.5"/>'
_DIAMOND = '<path d="M11 {1} L16 7 L11 {2} L6 7 Z" fill="{3}" stroke="{0}" stroke-width="1.5"/>'
_STAR = (
    '<path fill="{0}" d="M11 .8l1.6 4.3 4.6.2-3.6 2.8 1.2 4.4L11 10'
    'l-3.8 2.5 1.2-4.4L4.8 5.3l4.6-.2z"/>'
)

EFFECTS = (
    Key(
        _shape((_BAR + _DISC).format(BLUE, 4, BLUE)), "revert: post with base’s weights in the part"
    ),
    Key(
        _shape(_BAR.format(VERMILION) + _DIAMOND.format(VERMILION, 2, 12, VERMILION)),
        "graft: base with post’s weights in the part",
    ),
    Key(_shape(_BAR.format(MUTED) + _DISC.format(MUTED, 4, "white")), "open: interval includes 0"),
)
CONTROLS = (
    Key(_shape(_DISC.format(FAINT, 2.5, FAINT)), "grey: control, same norm, entries shuffled"),
)
WHOLE = (
    Key(
        _shape(f'<line x1="0" y1="7" x2="22" y2="7" stroke="{MUTED}" stroke-dasharray="5 3"/>'),
        "dashed: the whole gap",
    ),
)
_VERDICTS = {
    Verdict.CORRUPTED: f'<path d="M7 3 L15 11 M15 3 L7 11" stroke="{INK}" stroke-width="3"/>',
    Verdict.SKILL: _STAR.format(INK),
    Verdict.CHANGED: _DISC.format(MUTED, 3, "white"),
    Verdict.UNCHANGED: f'<line x1="7" y1="7" x2="15" y2="7" stroke="{FAINT}" stroke-width="2"/>',
}
VERDICTS = {verdict: Key(_shape(body), verdict.label) for verdict, body in _VERDICTS.items()}
WEIGHTS = (
    Key(
        _shape(f'<rect x="5" y="3" width="12" height="11" fill="#c3cbd3" stroke="{MUTED}"/>'),
        "weight change",
    ),
    Key(
        _shape(f'<line x1="3" y1="7" x2="19" y2="7" stroke="{INK}" stroke-width="2.5"/>'),
        "activation-weighted change",
    ),
)
