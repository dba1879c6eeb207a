"""What elicits the behaviour? Steering, decoding and training of one base, with controls."""

from elicit.elicitation._unsteered import Unsteered, unsteered
from elicit.elicitation.arms import Arm, direction_arms
from elicit.elicitation.bench import SEES, Attempt, Bench, Means, Sees, Tried, Writes
from elicit.elicitation.choice import Choice, best_cell, choose, to_raise
from elicit.elicitation.choose_arms import choose_arms
from elicit.elicitation.decoding import (
    BestPrompt,
    BudgetForced,
    BudgetForcingArm,
    CotDecoding,
    CotDecodingArm,
    DialArm,
    DialCurve,
    FewShot,
    ForcedPrefix,
    MajorityVoteArm,
    PowerSample,
    PowerSamplingArm,
    ProxyArm,
    ThoughtBudget,
    Votes,
    budget_forcing,
    cot_decoding,
    dial,
    majority_vote,
    power_sample,
)
from elicit.elicitation.dose import dose_curve
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.feature_arms import TIMES, FeatureControls, feature_arms
from elicit.elicitation.feature_push import How
from elicit.elicitation.forced_form import ForcedForm, forced_form, openers
from elicit.elicitation.goal import TARGET, UNSTEERED, Goal
from elicit.elicitation.hybrid import (
    GATES,
    Disagreements,
    Gate,
    Hybrid,
    HybridDesign,
    HybridFit,
    HybridTraining,
    LearnedSwitch,
    disagreements,
    fit_hybrid,
    measure_hybrid,
)
from elicit.elicitation.mechanism import Mechanism, held_against, try_mechanism
from elicit.elicitation.outcomes import Outcomes
from elicit.elicitation.overlap import SolvedOverlap, solved_overlap
from elicit.elicitation.steering import Steered, steer
from elicit.elicitation.sweep import Sweep, steer_many, sweep_arms
from elicit.elicitation.texts import SteeredTexts, steered_texts
from elicit.elicitation.transplant import Transplant, transplant
from elicit.surroundings import guard_room

__all__ = [
    "BestPrompt",
    "BudgetForced",
    "BudgetForcingArm",
    "CotDecoding",
    "CotDecodingArm",
    "DialArm",
    "DialCurve",
    "FewShot",
    "ForcedPrefix",
    "MajorityVoteArm",
    "PowerSample",
    "PowerSamplingArm",
    "ProxyArm",
    "ThoughtBudget",
    "Votes",
    "budget_forcing",
    "cot_decoding",
    "dial",
    "majority_vote",
    "power_sample",
    "GATES",
    "Disagreements",
    "Gate",
    "Hybrid",
    "HybridDesign",
    "HybridFit",
    "HybridTraining",
    "LearnedSwitch",
    "disagreements",
    "fit_hybrid",
    "measure_hybrid",
    "Attempt",
    "Bench",
    "Means",
    "Mechanism",
    "SEES",
    "Sees",
    "Tried",
    "Writes",
    "held_against",
    "try_mechanism",
    "best_cell",
    "to_raise",
    "Outcomes",
    "Sweep",
    "Unsteered",
    "steer_many",
    "sweep_arms",
    "unsteered",
    "Arm",
    "Choice",
    "DoseCurve",
    "ElicitationError",
    "FeatureControls",
    "ForcedForm",
    "Goal",
    "How",
    "TARGET",
    "TIMES",
    "UNSTEERED",
    "SolvedOverlap",
    "Steered",
    "SteeredTexts",
    "choose",
    "choose_arms",
    "direction_arms",
    "dose_curve",
    "feature_arms",
    "Transplant",
    "forced_form",
    "openers",
    "solved_overlap",
    "steer",
    "transplant",
    "steered_texts",
]

guard_room(__name__)
