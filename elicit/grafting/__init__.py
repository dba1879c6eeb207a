"""Which weights carry the difference between base and post, and which are corrupted?"""

from elicit.grafting.attribution import Attribution
from elicit.grafting.both_ways import revert
from elicit.grafting.integrated import WeightIG, integrate
from elicit.grafting.interpolation import Interpolation, interpolate
from elicit.grafting.intervals import IntervalSweep, sweep_intervals
from elicit.grafting.measure import GraftError, Measure, facts, skills
from elicit.grafting.samples import Samples, sample_texts
from elicit.grafting.sweep import Bench, Cost, ResumeWarning

__all__ = [
    "Attribution",
    "Bench",
    "Cost",
    "GraftError",
    "Interpolation",
    "IntervalSweep",
    "Measure",
    "ResumeWarning",
    "Samples",
    "WeightIG",
    "facts",
    "integrate",
    "interpolate",
    "revert",
    "sample_texts",
    "skills",
    "sweep_intervals",
]
