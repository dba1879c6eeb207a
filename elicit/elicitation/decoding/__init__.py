"""What does decoding alone bring out? The same weights, written from in another way.

Results: `cot_decoding`, `power_sample`, `majority_vote`, `budget_forcing`, and `dial` between base
and post. Arms, to be held against each other as mechanisms: classes whose names end in `Arm`, and
`BestPrompt`, `ForcedPrefix`, `FewShot`, which only ask in another way.
"""

from elicit.elicitation.decoding._branches import CURVES, PICKS, Pick
from elicit.elicitation.decoding.arms import (
    BudgetForcingArm,
    CotDecodingArm,
    MajorityVoteArm,
    PowerSamplingArm,
)
from elicit.elicitation.decoding.asking import BestPrompt, FewShot, ForcedPrefix, prefix_bits
from elicit.elicitation.decoding.budget_forcing import BudgetForced, ThoughtBudget, budget_forcing
from elicit.elicitation.decoding.cot_decoding import CotDecoding, cot_decoding
from elicit.elicitation.decoding.dial import DialCurve, dial
from elicit.elicitation.decoding.power_sampling import PowerSample, power_sample
from elicit.elicitation.decoding.rule_arms import DialArm, ProxyArm, ruled
from elicit.elicitation.decoding.votes import Answered, Votes, answer_numbers, majority_vote
from elicit.surroundings import guard_room

__all__ = [
    "Answered",
    "BestPrompt",
    "BudgetForced",
    "BudgetForcingArm",
    "CURVES",
    "CotDecoding",
    "CotDecodingArm",
    "DialArm",
    "DialCurve",
    "FewShot",
    "ForcedPrefix",
    "MajorityVoteArm",
    "PICKS",
    "Pick",
    "PowerSample",
    "PowerSamplingArm",
    "ProxyArm",
    "ThoughtBudget",
    "Votes",
    "answer_numbers",
    "budget_forcing",
    "cot_decoding",
    "dial",
    "majority_vote",
    "power_sample",
    "prefix_bits",
    "ruled",
]

guard_room(__name__, runs_nothing={"answer_numbers", "ruled"})
