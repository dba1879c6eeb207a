"""Pictures of written thoughts: what altered, shortened, crossed and resampled ones show."""

from elicit.traces.figures.anchors import anchors_figure, receivers_figure
from elicit.traces.figures.crossing import crossing_figure, most, rule_text
from elicit.traces.figures.reach import coverage_figure, reach_figure
from elicit.traces.figures.readings import (
    GROUPS,
    conclusion_figure,
    dependence_figure,
    discrimination_figure,
    gain_figure,
    gold_shares,
    grouped,
    information_figure,
    ledger_figure,
)
from elicit.traces.figures.shifts import shifts_figure

__all__ = [
    "GROUPS",
    "anchors_figure",
    "conclusion_figure",
    "coverage_figure",
    "crossing_figure",
    "dependence_figure",
    "discrimination_figure",
    "gain_figure",
    "gold_shares",
    "grouped",
    "information_figure",
    "ledger_figure",
    "most",
    "reach_figure",
    "receivers_figure",
    "rule_text",
    "shifts_figure",
]
