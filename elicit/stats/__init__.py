"""Intervals and tests over problems: how sure a number is, and how sure many are at once.

The unit of everything here is the problem (the cluster): rows of one problem are never counted as
independent evidence. Whatever is random takes a `seed`; the same seed gives the same bytes. What
returns torch values loads when it is first used.
"""

from typing import TYPE_CHECKING

from elicit.results import lazily
from elicit.stats.adjust import benjamini_hochberg, holm
from elicit.stats.bootstrap import bootstrap_difference, bootstrap_mean
from elicit.stats.equivalence import Equivalence, minimum_detectable_effect, tost
from elicit.stats.few import problems_needed, unseen
from elicit.stats.gap import NoGapError, gap_share, gap_shares, joint_gap_shares
from elicit.stats.inference import Inference
from elicit.stats.interval import Interval, wilson
from elicit.stats.outcomes import outcome_difference, outcome_shares
from elicit.stats.significance import Significance, max_t, mcnemar, paired_permutation
from elicit.stats.simultaneous import (
    SimultaneousIntervals,
    joint_intervals,
    joint_tests,
    simultaneous_intervals,
)

if TYPE_CHECKING:
    from elicit.stats.calibration import Calibration, calibration_difference, measure_calibration
    from elicit.stats.coverage import Covered, covered
    from elicit.stats.crossover import PassComparison, pass_comparison
    from elicit.stats.discrimination import Discrimination, measure_discrimination
    from elicit.stats.estimate import (
        joint_estimate,
        linearised_auroc,
        linearised_mean,
        linearised_ratio,
        mean_by_problem,
        paired_difference,
        problem_mean,
        problem_numbers,
        unpaired_difference,
    )
    from elicit.stats.grouped import GroupError, GroupMeans, by_group
    from elicit.stats.jackknife import Jackknife, jackknifed
    from elicit.stats.partial import partial_spearman
    from elicit.stats.passk import PassCurve, pass_at_k, pass_curve

__all__ = [
    "Calibration",
    "Covered",
    "Discrimination",
    "Equivalence",
    "GroupError",
    "GroupMeans",
    "Inference",
    "Interval",
    "Jackknife",
    "NoGapError",
    "PassComparison",
    "PassCurve",
    "Significance",
    "SimultaneousIntervals",
    "benjamini_hochberg",
    "by_group",
    "bootstrap_difference",
    "bootstrap_mean",
    "calibration_difference",
    "covered",
    "gap_share",
    "gap_shares",
    "holm",
    "jackknifed",
    "joint_estimate",
    "joint_gap_shares",
    "joint_intervals",
    "joint_tests",
    "linearised_auroc",
    "linearised_mean",
    "linearised_ratio",
    "max_t",
    "mcnemar",
    "mean_by_problem",
    "measure_calibration",
    "measure_discrimination",
    "minimum_detectable_effect",
    "paired_difference",
    "paired_permutation",
    "partial_spearman",
    "outcome_difference",
    "outcome_shares",
    "pass_at_k",
    "pass_comparison",
    "pass_curve",
    "problem_mean",
    "problem_numbers",
    "problems_needed",
    "simultaneous_intervals",
    "tost",
    "unpaired_difference",
    "unseen",
    "wilson",
]

__getattr__ = lazily(__name__, __file__)
