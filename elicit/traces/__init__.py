"""What does the written thought do? Statistics of recorded traces; none of these runs a model."""

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
from elicit.traces.early_stopping import EarlyStopping, stop_early
from elicit.traces.errors import TraceError
from elicit.traces.hedging import Hedging, hedging_slope
from elicit.traces.markers import (
    MARKERS,
    MarkerRates,
    frequency_matched,
    marked_before,
    marker_rates,
)
from elicit.traces.voting import Ballots, FilteredVote, filtered_vote, vote

__all__ = [
    "MARKERS",
    "Ballots",
    "EarlyStopping",
    "FilteredVote",
    "Groups",
    "Hedging",
    "MarkerRates",
    "TraceConfidence",
    "TraceError",
    "bottom_groups",
    "filtered_vote",
    "frequency_matched",
    "group_confidence",
    "hedging_slope",
    "lowest_group",
    "marked_before",
    "marker_rates",
    "span_confidence",
    "stop_early",
    "tail_confidence",
    "trace_confidence",
    "vote",
]
