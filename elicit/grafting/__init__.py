"""Which weights carry the difference between base and post, and which are corrupted?"""

from elicit.grafting._conclusion import LEAST_PROBLEMS, Margins
from elicit.grafting._cost import Cost, interval_calls
from elicit.grafting.graft_sweep import GraftSweep, sweep_parts
from elicit.grafting.integrated import NODES, WeightIG, integrate
from elicit.grafting.interpolation import ALPHAS, Interpolation, interpolate
from elicit.grafting.intervals import IntervalSweep, sweep_intervals
from elicit.grafting.localise import localise
from elicit.grafting.roles import LayerRoles
from elicit.grafting.samples import Samples, sample_texts
from elicit.grafting.score import GraftError, Score, encode, facts, skills
from elicit.grafting.sweep import Direction, PartSweep, ResumeWarning, both_scores
from elicit.grafting.verdict import Verdict
from elicit.surroundings import guard_room

__all__ = [
    "ALPHAS",
    "LEAST_PROBLEMS",
    "NODES",
    "Cost",
    "Direction",
    "GraftError",
    "GraftSweep",
    "Interpolation",
    "IntervalSweep",
    "LayerRoles",
    "Margins",
    "PartSweep",
    "both_scores",
    "ResumeWarning",
    "Samples",
    "Score",
    "Verdict",
    "WeightIG",
    "encode",
    "facts",
    "integrate",
    "interval_calls",
    "interpolate",
    "localise",
    "sample_texts",
    "skills",
    "sweep_intervals",
    "sweep_parts",
]

guard_room(__name__)
