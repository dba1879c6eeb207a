"""What may be concluded, and how surely: verdicts that rest on several questions at once."""

from elicit.surroundings import guard_room
from elicit.verdicts import existence
from elicit.verdicts.dependence import MARGIN, Judged, judge
from elicit.verdicts.design import LadderDesign
from elicit.verdicts.errors import VerdictError
from elicit.verdicts.existence import assess
from elicit.verdicts.ladder import EXISTENCE, Ladder
from elicit.verdicts.scorecard import PRIMARIES, Scorecard, scorecard
from elicit.verdicts.style import STYLES, StyleOrAbility, style_or_ability
from elicit.verdicts.tests import fewest_draws

__all__ = [
    "EXISTENCE",
    "Judged",
    "Ladder",
    "LadderDesign",
    "MARGIN",
    "PRIMARIES",
    "STYLES",
    "Scorecard",
    "StyleOrAbility",
    "VerdictError",
    "assess",
    "existence",
    "fewest_draws",
    "judge",
    "scorecard",
    "style_or_ability",
]

guard_room(__name__)
