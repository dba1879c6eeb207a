"""What does the written thought do? Both models read the same thoughts, once."""

from elicit.surroundings import guard_room
from elicit.traces.alterations import (
    Alteration,
    Altered,
    Filler,
    OperandsSwapped,
    OtherThought,
    Place,
    ResultChanged,
)
from elicit.traces.anchors import Anchors, anchors
from elicit.traces.conclusion import Conclusion, conclusion, save_pruned
from elicit.traces.cross import Crossing, cross_sampled
from elicit.traces.dependence import ALTERATIONS, Dependence, dependence
from elicit.traces.discrimination import Discrimination, discrimination
from elicit.traces.errors import TraceError
from elicit.traces.forced import Forced, Probe, forced_answers
from elicit.traces.information import Information, information
from elicit.traces.ledger import Ledger, ledger
from elicit.traces.measures import Measures, Metric
from elicit.traces.reading import Curve, Reading, Readings
from elicit.traces.receivers import Receivers, receivers
from elicit.traces.shifts import Shifts, shifts
from elicit.traces.takes import RULES, TakeRule
from elicit.traces.thoughts import (
    Thought,
    Thoughts,
    answer_pool,
    cut_texts,
    given_thoughts,
    own_thoughts,
)

__all__ = [
    "ALTERATIONS",
    "Alteration",
    "Altered",
    "Anchors",
    "Conclusion",
    "Crossing",
    "Curve",
    "Discrimination",
    "Dependence",
    "Filler",
    "Forced",
    "Information",
    "Measures",
    "Metric",
    "OperandsSwapped",
    "OtherThought",
    "Place",
    "Probe",
    "RULES",
    "Reading",
    "Readings",
    "Receivers",
    "ResultChanged",
    "Shifts",
    "TakeRule",
    "conclusion",
    "cross_sampled",
    "dependence",
    "discrimination",
    "forced_answers",
    "information",
    "save_pruned",
    "Ledger",
    "Thought",
    "Thoughts",
    "TraceError",
    "anchors",
    "answer_pool",
    "cut_texts",
    "given_thoughts",
    "ledger",
    "own_thoughts",
    "receivers",
    "shifts",
]

guard_room(__name__)
