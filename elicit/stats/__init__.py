"""Intervals and tests over problems: how sure a number is, and how sure many are at once.

The unit of everything here is the problem (the cluster): rows of one problem are never counted as
independent evidence. Whatever is random takes a `seed`; the same seed gives the same bytes.
"""

from elicit.stats.adjust import benjamini_hochberg, holm
from elicit.stats.bootstrap import bootstrap_difference, bootstrap_mean
from elicit.stats.equivalence import Equivalence, minimum_detectable_effect, tost
from elicit.stats.gap import NoGapError, gap_share, gap_shares
from elicit.stats.inference import Inference
from elicit.stats.interval import Interval, wilson
from elicit.stats.significance import Significance, max_t, mcnemar, paired_permutation
from elicit.stats.simultaneous import (
    SimultaneousIntervals,
    joint_intervals,
    simultaneous_intervals,
)

__all__ = [
    "Equivalence",
    "Inference",
    "Interval",
    "NoGapError",
    "Significance",
    "SimultaneousIntervals",
    "benjamini_hochberg",
    "bootstrap_difference",
    "bootstrap_mean",
    "gap_share",
    "gap_shares",
    "holm",
    "joint_intervals",
    "max_t",
    "mcnemar",
    "minimum_detectable_effect",
    "paired_permutation",
    "simultaneous_intervals",
    "tost",
    "wilson",
]
