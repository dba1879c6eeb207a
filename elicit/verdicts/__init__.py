"""What may be concluded, and how surely: verdicts that rest on several questions at once."""

from elicit.surroundings import guard_room
from elicit.verdicts import existence
from elicit.verdicts._origin_outcomes import ArmOutcomes, Outcomes
from elicit.verdicts._origin_rule import OriginJudged, OriginVerdict, judge_origin
from elicit.verdicts.audit import (
    ARM_CONTROLS,
    Audit,
    Findings,
    NumberTold,
    RunTold,
    Tested,
    conclude,
)
from elicit.verdicts.dependence import MARGIN, Judged, judge
from elicit.verdicts.design import LadderDesign
from elicit.verdicts.errors import VerdictError
from elicit.verdicts.existence import assess
from elicit.verdicts.ladder import EXISTENCE, Ladder
from elicit.verdicts.origin import origin
from elicit.verdicts.origin_result import Evidence, Origin
from elicit.verdicts.scorecard import PRIMARIES, Scorecard, scorecard
from elicit.verdicts.style import STYLES, StyleOrAbility, style_or_ability
from elicit.verdicts.tests import FREED, fewest_draws

__all__ = [
    "ARM_CONTROLS",
    "ArmOutcomes",
    "Audit",
    "EXISTENCE",
    "FREED",
    "Evidence",
    "Findings",
    "Judged",
    "Ladder",
    "LadderDesign",
    "MARGIN",
    "NumberTold",
    "Origin",
    "OriginJudged",
    "OriginVerdict",
    "Outcomes",
    "PRIMARIES",
    "RunTold",
    "STYLES",
    "Scorecard",
    "StyleOrAbility",
    "Tested",
    "VerdictError",
    "assess",
    "conclude",
    "existence",
    "fewest_draws",
    "judge",
    "judge_origin",
    "origin",
    "scorecard",
    "style_or_ability",
]

guard_room(__name__)
