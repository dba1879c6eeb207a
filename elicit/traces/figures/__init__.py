"""Pictures of written thoughts: what altered, shortened, crossed and resampled ones show."""

from elicit.traces.figures.anchors import anchors_figure, receivers_figure
from elicit.traces.figures.conditions import (
    conditions_figure,
    difficulty_figure,
    process_figure,
    thinking_figure,
)
from elicit.traces.figures.crossing import crossing_figure, most, rule_text
from elicit.traces.figures.reach import coverage_figure, reach_figure, votes_figure
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
from elicit.traces.figures.writing import (
    calibration_figure,
    epistemic_figure,
    lengths_figure,
    reflection_figure,
)

__all__ = [
    "GROUPS",
    "anchors_figure",
    "calibration_figure",
    "conclusion_figure",
    "conditions_figure",
    "coverage_figure",
    "crossing_figure",
    "dependence_figure",
    "difficulty_figure",
    "discrimination_figure",
    "epistemic_figure",
    "gain_figure",
    "gold_shares",
    "grouped",
    "information_figure",
    "ledger_figure",
    "lengths_figure",
    "most",
    "process_figure",
    "reach_figure",
    "receivers_figure",
    "reflection_figure",
    "rule_text",
    "shifts_figure",
    "thinking_figure",
    "votes_figure",
]
