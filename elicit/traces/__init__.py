"""What does the written thought do? Both models read the same thoughts, once."""

from elicit.surroundings import guard_room
from elicit.traces.abstentions import ABSTENTIONS, abstains
from elicit.traces.alterations import (
    Alteration,
    Altered,
    Case,
    Filler,
    OperandsSwapped,
    OtherThought,
    ResultChanged,
)
from elicit.traces.anchors import Anchors, anchors
from elicit.traces.backward import Backward, NumberMasked, backward_conditions
from elicit.traces.budgets import VoteSweep, votes
from elicit.traces.calibrated import AnswerCalibration, calibration
from elicit.traces.checkers import Checker, EquationsHold
from elicit.traces.conclusion import Conclusion, conclusion, save_pruned
from elicit.traces.conditions import Condition, Conditions, compare_conditions, conditions
from elicit.traces.confidence import (
    Groups,
    TraceConfidence,
    bottom_groups,
    group_confidence,
    lowest_group,
    span_confidence,
    tail_confidence,
    trace_confidence,
)
from elicit.traces.cross import Crossing, cross_sampled
from elicit.traces.dependence import ALTERATIONS, AlteredThought, Dependence, dependence
from elicit.traces.difficulty import Difficulty, difficulty
from elicit.traces.discrimination import Discrimination, discrimination
from elicit.traces.early_stopping import EarlyStopping, stop_early
from elicit.traces.epistemic import Epistemic, epistemic
from elicit.traces.errors import TraceError
from elicit.traces.exemplars import KINDS, exemplar_conditions
from elicit.traces.forced import Forced, Probe, forced_answers
from elicit.traces.hedges import hedging
from elicit.traces.hedging import Hedging, hedging_slope
from elicit.traces.information import Information, information
from elicit.traces.ledger import Ledger, ledger
from elicit.traces.lengths import LengthAgainst, length_against
from elicit.traces.markers import (
    MARKERS,
    MarkerRates,
    frequency_matched,
    marked_before,
    marker_rates,
)
from elicit.traces.measures import Measures, Metric
from elicit.traces.process import Needs, Process, SolutionValues, process
from elicit.traces.reach import Reach, reach
from elicit.traces.reading import Curve, Reading, Readings
from elicit.traces.receivers import Receivers, receivers
from elicit.traces.reflection import CORRECTIONS, Reflection, reflection
from elicit.traces.shifts import Shifts, shifts
from elicit.traces.stating import Place, value_spans
from elicit.traces.step_filter import Embeds, SentenceEmbedder, StepFilter
from elicit.traces.takes import RULES, TakeRule
from elicit.traces.thinking import Thinking, thinking
from elicit.traces.thoughts import (
    Thought,
    Thoughts,
    answer_pool,
    cut_texts,
    given_thoughts,
    own_thoughts,
)
from elicit.traces.values import told_apart
from elicit.traces.voting import Ballots, FilteredVote, filtered_vote, vote

__all__ = [
    "Embeds",
    "SentenceEmbedder",
    "StepFilter",
    "ABSTENTIONS",
    "ALTERATIONS",
    "Alteration",
    "Altered",
    "AlteredThought",
    "Anchors",
    "AnswerCalibration",
    "Backward",
    "Ballots",
    "CORRECTIONS",
    "Case",
    "Checker",
    "Conclusion",
    "Condition",
    "Conditions",
    "Crossing",
    "Curve",
    "Dependence",
    "Difficulty",
    "Discrimination",
    "EarlyStopping",
    "Epistemic",
    "EquationsHold",
    "Filler",
    "FilteredVote",
    "Forced",
    "Groups",
    "Hedging",
    "Information",
    "KINDS",
    "Ledger",
    "LengthAgainst",
    "MARKERS",
    "MarkerRates",
    "Measures",
    "Metric",
    "Needs",
    "NumberMasked",
    "OperandsSwapped",
    "OtherThought",
    "Place",
    "Probe",
    "Process",
    "RULES",
    "Reach",
    "Reading",
    "Readings",
    "Receivers",
    "Reflection",
    "ResultChanged",
    "Shifts",
    "SolutionValues",
    "TakeRule",
    "Thinking",
    "Thought",
    "Thoughts",
    "TraceConfidence",
    "TraceError",
    "VoteSweep",
    "abstains",
    "anchors",
    "answer_pool",
    "backward_conditions",
    "bottom_groups",
    "calibration",
    "compare_conditions",
    "conclusion",
    "conditions",
    "cross_sampled",
    "cut_texts",
    "dependence",
    "difficulty",
    "discrimination",
    "epistemic",
    "exemplar_conditions",
    "filtered_vote",
    "forced_answers",
    "frequency_matched",
    "given_thoughts",
    "group_confidence",
    "hedging",
    "hedging_slope",
    "information",
    "ledger",
    "length_against",
    "lowest_group",
    "marked_before",
    "marker_rates",
    "own_thoughts",
    "process",
    "reach",
    "receivers",
    "reflection",
    "save_pruned",
    "shifts",
    "span_confidence",
    "stop_early",
    "tail_confidence",
    "thinking",
    "told_apart",
    "trace_confidence",
    "value_spans",
    "vote",
    "votes",
]

guard_room(__name__, runs_nothing={"value_spans"})
